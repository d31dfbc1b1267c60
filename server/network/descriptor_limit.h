// File descriptors: how many this process may have, and for what.
#ifndef HALFSTEP_SERVER_NETWORK_DESCRIPTOR_LIMIT_H_
#define HALFSTEP_SERVER_NETWORK_DESCRIPTOR_LIMIT_H_

#include <cstddef>

namespace halfstep {

// Descriptors that this process may have: the hard limit.
size_t DescriptorLimit();

// Lifts the soft limit, which is 1,024 in most shells, to the hard one.
void RaiseDescriptorLimit();

// Connections that leave enough descriptors of `limit` for everything else: the
// log, certificates, the metrics' own connections, gRPC's wakeups.
size_t ConnectionsWithin(size_t limit);

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_NETWORK_DESCRIPTOR_LIMIT_H_
