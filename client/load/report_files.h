// The files of client/load/report/, embedded when the project is built.
#ifndef HALFSTEP_CLIENT_LOAD_REPORT_FILES_H_
#define HALFSTEP_CLIENT_LOAD_REPORT_FILES_H_

#include <string_view>

namespace halfstep::load {

extern const std::string_view kReportHtml;  // with @NAME@ where a file goes
extern const std::string_view kReportJs;
extern const std::string_view kPlotJs;
extern const std::string_view kPlotCss;
extern const std::string_view kPlotLicense;

}  // namespace halfstep::load

#endif  // HALFSTEP_CLIENT_LOAD_REPORT_FILES_H_
