#include "server/security/reflection.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/impl/server_builder_plugin.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "grpc/health/v1/health.pb.h"

namespace halfstep {
namespace {

using Plugins = std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>;

class WithoutReflection final : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments* /*arguments*/) override {}

  void UpdatePlugins(Plugins* plugins) override {
    const std::string name =
        grpc::reflection::ProtoServerReflectionPlugin().name();
    plugins->erase(std::remove_if(plugins->begin(), plugins->end(),
                                  [&name](const auto& plugin) {
                                    return plugin->name() == name;
                                  }),
                   plugins->end());
  }
};

}  // namespace

void SetReflection(bool is_on, grpc::ServerBuilder& builder) {
  if (!is_on) {
    builder.SetOption(std::make_unique<WithoutReflection>());
    return;
  }
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  // Reflection describes what is linked: health would be left out otherwise.
  grpc::health::v1::HealthCheckRequest::descriptor();
}

}  // namespace halfstep
