#include "client/load/html_report.h"

#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "absl/strings/str_replace.h"
#include "client/load/report_files.h"

namespace halfstep::load {
namespace {

absl::string_view View(std::string_view text) {
  return {text.data(), text.size()};
}

// JSON that may stand inside a script element: no "</script>" and no "<!--" can
// come up in it.
std::string ForScript(const nlohmann::ordered_json& json) {
  // A server's message may hold bytes that are no UTF-8.
  const std::string text =
      json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return absl::StrReplaceAll(text, {{"<", "\\u003c"}});
}

}  // namespace

std::string ToHtml(const nlohmann::ordered_json& run) {
  // All at once: what is put in is not searched again.
  return absl::StrReplaceAll(View(kReportHtml),
                             {{"@LICENSE@", View(kPlotLicense)},
                              {"@UPLOT_CSS@", View(kPlotCss)},
                              {"@UPLOT_JS@", View(kPlotJs)},
                              {"@REPORT_JS@", View(kReportJs)},
                              {"@DATA@", ForScript(run)}});
}

}  // namespace halfstep::load
