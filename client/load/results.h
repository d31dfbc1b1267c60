// The results of a load run as JSON and as CSV.
#ifndef HALFSTEP_CLIENT_LOAD_RESULTS_H_
#define HALFSTEP_CLIENT_LOAD_RESULTS_H_

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "client/load/step.h"
#include "client/load/workload.h"

namespace halfstep::load {

// A step with what it sent.
struct Row {
  // What is sent, for people.
  std::string calls;
  // Bytes of reals, where all calls have the same; else 0.
  uint64_t real_bytes = 0;
  StepResult result;
};

// The percentiles that are shown: names such as "p99.9", and shares.
const std::vector<std::pair<std::string, double>>& Percentiles();

// What makes the numbers doubtful, one line each: a client that cannot keep up,
// calls sent late.
std::vector<std::string> Warnings(const StepResult& result);

// Why a stopped step was stopped: "interrupted", "server gone", "wrong answer".
const char* NameOf(Stop stop);

// "closed" or "open".
const char* LoopOf(const StepOptions& options);

// Cores that this process may use.
int Cores();

// Times in seconds, bytes in bytes. docs/load.md explains every member.
nlohmann::ordered_json ToJson(const Row& row);

// A header line and one line per row.
std::string ToCsv(const std::vector<Row>& rows);

}  // namespace halfstep::load

#endif  // HALFSTEP_CLIENT_LOAD_RESULTS_H_
