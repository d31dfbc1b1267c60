// What `halfstep load` shows to people.
#ifndef HALFSTEP_CLIENT_CLI_LOAD_PRINT_H_
#define HALFSTEP_CLIENT_CLI_LOAD_PRINT_H_

#include <string>

#include "absl/time/time.h"
#include "client/load/limit.h"
#include "client/load/results.h"
#include "client/load/run_step.h"
#include "client/load/workload.h"

namespace halfstep::cli {

// "312 us", "5.21 ms", "1.02 s".
std::string FormatLatency(int64_t ns);

// "64KiB", "100000B".
std::string FormatSize(uint64_t bytes);

// "quantize, 64KiB, float32, 8 bits, asymmetric"; mixes with their weights.
std::string Describe(const load::MixOptions& mix);

// A line on standard error that is written over and over, where that is a
// terminal; otherwise nothing.
class LiveLine {
 public:
  LiveLine();
  void Show(const load::Progress& progress);
  // Wipes the line, so that something else can be printed.
  void Clear();

 private:
  bool is_terminal_;
  bool shown_ = false;
  int ticks_ = 0;
};

// A single step, in rows of name and value.
void PrintStep(const load::Row& row);

// Several steps: a header, then one line for each as it ends.
void PrintTableHeader();
void PrintTableLine(const load::Row& row);

// What a search found.
void PrintLimit(const load::Limit& limit, absl::Duration p99_below);

}  // namespace halfstep::cli

#endif  // HALFSTEP_CLIENT_CLI_LOAD_PRINT_H_
