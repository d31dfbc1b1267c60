// The settings as docs/operations.md shows them.
#ifndef HALFSTEP_SERVER_SETTINGS_REFERENCE_H_
#define HALFSTEP_SERVER_SETTINGS_REFERENCE_H_

#include <string>

namespace halfstep {

// One Markdown table per group: flag, variable, default and meaning of each
// setting. A test holds the page to it.
std::string ReferenceTables();

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_SETTINGS_REFERENCE_H_
