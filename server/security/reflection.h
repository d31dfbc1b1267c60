// Whether a server tells by gRPC's reflection what it serves.
#ifndef HALFSTEP_SERVER_SECURITY_REFLECTION_H_
#define HALFSTEP_SERVER_SECURITY_REFLECTION_H_

namespace grpc {
class ServerBuilder;
}  // namespace grpc

namespace halfstep {

// Has the server that `builder` makes serve reflection, or not. Linking gRPC's
// reflection gives it to every server of the process: this takes it away.
void SetReflection(bool is_on, grpc::ServerBuilder& builder);

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_SECURITY_REFLECTION_H_
