// The results of a load run as one HTML file that needs no network.
#ifndef HALFSTEP_CLIENT_LOAD_HTML_REPORT_H_
#define HALFSTEP_CLIENT_LOAD_HTML_REPORT_H_

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace halfstep::load {

// `run` is what `halfstep load --json` prints. Plots are drawn by uPlot, which
// the file carries with its licence; nothing in `run` is taken for HTML.
std::string ToHtml(const nlohmann::ordered_json& run);

}  // namespace halfstep::load

#endif  // HALFSTEP_CLIENT_LOAD_HTML_REPORT_H_
