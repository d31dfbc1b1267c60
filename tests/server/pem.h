// Certificates and keys for tests, made by OpenSSL.
#ifndef HALFSTEP_TESTS_SERVER_PEM_H_
#define HALFSTEP_TESTS_SERVER_PEM_H_

#include <sys/stat.h>

#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace halfstep {

struct PemPair {
  std::string certificate;  // signed by itself, for CN=`common_name`
  std::string key;
};

struct PemOptions {
  std::string common_name = "localhost";
  absl::Time not_before = absl::Now() - absl::Hours(1);
  absl::Time not_after = absl::Now() + absl::Hours(1);
};

PemPair MakePem(const PemOptions& options = {});

// Replaces the file at `path`, at once.
void WriteFile(const std::string& path, const std::string& text,
               mode_t mode = 0600);

}  // namespace halfstep

#endif  // HALFSTEP_TESTS_SERVER_PEM_H_
