// The core's operations on tensors in memory, beside what bounds them and what
// others do: a loop with the same reads and writes and nothing else, XNNPACK's
// conversion and oneDNN's reorder.
//
// Rates are bytes of reals a second. A ratio is only taken within one run:
// tests/bench/run interleaves repetitions at random and quotes medians.
#include <benchmark/benchmark.h>
#include <malloc.h>
#include <xnnpack.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>
#include <thread>
#include <vector>

#include "core/executor.h"
#include "core/quantize.h"

namespace halfstep {
namespace {

constexpr size_t kElements = size_t{64} << 20;  // 256 MiB of float32
constexpr size_t kBlock = 65536;
constexpr int64_t kRow = 1024;
constexpr float kScale = 0.02f;
constexpr uint8_t kZeroPoint = 128;

// Memory whose pages have been touched, aligned to a cache line.
template <typename T>
class Array {
 public:
  explicit Array(size_t count)
      : data_(static_cast<T*>(
            ::operator new(count * sizeof(T), std::align_val_t(64)))) {
    std::memset(static_cast<void*>(data_.get()), 0, count * sizeof(T));
  }
  T* get() const { return data_.get(); }

 private:
  struct Free {
    void operator()(T* data) const {
      ::operator delete(data, std::align_val_t(64));
    }
  };
  std::unique_ptr<T, Free> data_;
};

// What all benchmarks read and write.
struct Memory {
  Array<float> reals{kElements};
  Array<uint8_t> codes{kElements};

  Memory() {
    // xorshift: uniform in (-2, 2), the same in every run.
    uint32_t state = 1;
    for (size_t i = 0; i < kElements; ++i) {
      state ^= state << 13;
      state ^= state >> 17;
      state ^= state << 5;
      reals.get()[i] =
          static_cast<float>(static_cast<int32_t>(state)) * 0x1p-30f;
    }
  }

  static Memory& Get() {
    static Memory memory;
    return memory;
  }
  Pieces pieces() const {
    return Pieces({reinterpret_cast<const std::byte*>(reals.get()),
                   kElements * sizeof(float)});
  }
};

void SetRate(benchmark::State& state) {
  state.SetBytesProcessed(state.iterations() *
                          static_cast<int64_t>(kElements * sizeof(float)));
}

int AllThreads() {
  return static_cast<int>(std::thread::hardware_concurrency());
}

// One executor for a number of threads at a time.
Executor& ExecutorOf(int threads) {
  static std::unique_ptr<Executor> executor;
  if (executor == nullptr || executor->threads() != threads) {
    executor.reset();
    executor =
        std::make_unique<Executor>(Executor::Options{.threads = threads});
  }
  return *executor;
}

struct Setting {
  const char* name;
  int threads;
  bool is_static;
  Granularity granularity;
  uint32_t bits = 8;
  Packing packing = Packing::kNone;
  bool measure_error = false;
};

QuantizePlan PlanOf(const Setting& setting) {
  const int64_t shape[] = {static_cast<int64_t>(kElements) / kRow, kRow};
  Spec spec;
  spec.granularity = setting.granularity;
  spec.bits = setting.bits;
  spec.packing = setting.packing;
  if (!setting.is_static) {
    return *QuantizePlan::Dynamic(spec, DataType::kFloat32, shape, kElements);
  }
  const size_t pairs =
      setting.granularity.kind == Granularity::Kind::kTensor ? 1 : kRow;
  Parameters parameters = {spec, std::vector<double>(pairs, kScale),
                           std::vector<int32_t>(pairs, kZeroPoint)};
  if (setting.bits == 4) {
    parameters.scale.assign(pairs, 16 * kScale);
    parameters.zero_point.assign(pairs, 8);
  }
  return *QuantizePlan::Static(parameters, DataType::kFloat32, shape,
                               kElements);
}

void BM_Quantize(benchmark::State& state, const Setting& setting) {
  const Memory& memory = Memory::Get();
  Executor& executor = ExecutorOf(setting.threads);
  const Cancellation never;
  const QuantizePlan plan = PlanOf(setting);
  const Pieces reals = memory.pieces();
  const absl::Span<std::byte> codes = {
      reinterpret_cast<std::byte*>(memory.codes.get()),
      static_cast<size_t>(plan.code_bytes())};
  for (auto _ : state) {
    const auto result =
        Quantize(plan, reals, setting.measure_error, {executor, never}, codes);
    if (!result.ok()) {
      state.SkipWithError(std::string(result.status().message()).c_str());
    }
  }
  SetRate(state);
}

// 64 bytes that the compiler keeps in the widest registers of the function's
// target.
using Line __attribute__((vector_size(64), aligned(1), may_alias)) = uint64_t;

// Reads 4 bytes for each one it writes, and no more: one block of the floor.
__attribute__((target_clones("avx512f", "avx2", "default"))) void CopyQuarter(
    const float* from, size_t count, uint8_t* to) {
  const auto* in = reinterpret_cast<const Line*>(from);
  auto* out = reinterpret_cast<Line*>(to);
  for (size_t i = 0; i < count / 64; ++i) {
    out[i] = in[4 * i] ^ in[4 * i + 1] ^ in[4 * i + 2] ^ in[4 * i + 3];
  }
}

__attribute__((target_clones("avx512f", "avx2", "default"))) uint64_t ReadAll(
    const float* from, size_t count) {
  const auto* in = reinterpret_cast<const Line*>(from);
  Line sum[4] = {};
  for (size_t i = 0; i < count / 16; i += 4) {
    for (size_t k = 0; k < 4; ++k) sum[k] ^= in[i + k];
  }
  const Line all = sum[0] ^ sum[1] ^ sum[2] ^ sum[3];
  return all[0] ^ all[1] ^ all[2] ^ all[3] ^ all[4] ^ all[5] ^ all[6] ^ all[7];
}

// `reads` reads of the reals, the last of which writes.
void BM_Floor(benchmark::State& state, int threads, bool reads_twice) {
  const Memory& memory = Memory::Get();
  Executor& executor = ExecutorOf(threads);
  const Cancellation never;
  const auto for_blocks = [&](auto body) {
    const absl::Status status =
        executor.ForEach(kElements / kBlock, 1, never,
                         [&](size_t block) { body(block * kBlock); });
    if (!status.ok()) state.SkipWithError("stopped");
  };
  for (auto _ : state) {
    if (reads_twice) {
      for_blocks([&](size_t i) {
        benchmark::DoNotOptimize(ReadAll(memory.reals.get() + i, kBlock));
      });
    }
    for_blocks([&](size_t i) {
      CopyQuarter(memory.reals.get() + i, kBlock, memory.codes.get() + i);
    });
    benchmark::ClobberMemory();
  }
  SetRate(state);
}

void BM_Xnnpack(benchmark::State& state) {
  const Memory& memory = Memory::Get();
  xnn_operator_t convert = nullptr;
  if (xnn_initialize(nullptr) != xnn_status_success ||
      xnn_create_convert_nc_f32_qu8(kElements, kElements, kElements, kScale,
                                    kZeroPoint, 0, 255, 0,
                                    &convert) != xnn_status_success ||
      xnn_setup_convert_nc_f32_qu8(convert, 1, memory.reals.get(),
                                   memory.codes.get(),
                                   nullptr) != xnn_status_success) {
    state.SkipWithError("XNNPACK refuses");
    return;
  }
  for (auto _ : state) xnn_run_operator(convert, nullptr);
  xnn_delete_operator(convert);
  SetRate(state);
}

void BM_Onednn(benchmark::State& state) {
  const Memory& memory = Memory::Get();
  using data_type = dnnl::memory::data_type;
  using desc = dnnl::memory::desc;
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const dnnl::memory::dims shape = {static_cast<int64_t>(kElements) / kRow,
                                    kRow};
  const desc from(shape, data_type::f32, dnnl::memory::format_tag::ab);
  const desc to(shape, data_type::u8, dnnl::memory::format_tag::ab);
  dnnl::primitive_attr attributes;
  attributes.set_output_scales(0, {1 / kScale});
  dnnl::post_ops add_zero_point;
  attributes.set_zero_points(DNNL_ARG_DST, 0, {kZeroPoint});
  dnnl::memory in(from, engine, memory.reals.get());
  dnnl::memory out(to, engine, memory.codes.get());
  const dnnl::reorder reorder(
      dnnl::reorder::primitive_desc(engine, from, engine, to, attributes));
  for (auto _ : state) {
    reorder.execute(stream, in, out);
    stream.wait();
  }
  SetRate(state);
}

void RegisterAll() {
  const auto add = [](const std::string& name, auto run) {
    benchmark::RegisterBenchmark(name.c_str(), run)
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
  };
  using Kind = Granularity::Kind;
  const int all = AllThreads();
  const Granularity group128 = {Kind::kGroup, 1, 128};
  const Granularity group32 = {Kind::kGroup, 1, 32};
  const Granularity last_axis = {Kind::kAxis, 1, 0};
  const std::vector<Setting> settings = {
      {"static/threads:1", 1, true, {}},
      {"static/threads:all", all, true, {}},
      {"dynamic/threads:1", 1, false, {}},
      {"dynamic/threads:all", all, false, {}},
      {"dynamic_group128/threads:1", 1, false, group128},
      {"dynamic_group32/threads:1", 1, false, group32},
      {"static_last_axis/threads:1", 1, true, last_axis},
      {"dynamic_last_axis/threads:1", 1, false, last_axis},
      {"static_4bit_dense/threads:1", 1, true, {}, 4, Packing::kDense},
      {"static_with_error/threads:1", 1, true, {}, 8, Packing::kNone, true},
  };
  for (const Setting& setting : settings) {
    add(std::string("quantize/") + setting.name,
        [setting](benchmark::State& state) { BM_Quantize(state, setting); });
  }
  for (const int threads : {1, all}) {
    const std::string suffix = threads == 1 ? "/threads:1" : "/threads:all";
    add("floor/one_read" + suffix, [threads](benchmark::State& state) {
      BM_Floor(state, threads, false);
    });
    add("floor/two_reads" + suffix,
        [threads](benchmark::State& state) { BM_Floor(state, threads, true); });
  }
  add("xnnpack/convert_f32_qu8/threads:1", BM_Xnnpack);
  add("onednn/reorder_f32_u8/threads:1", BM_Onednn);
}

}  // namespace
}  // namespace halfstep

int main(int argc, char** argv) {
  // As the server has it: memory for parameters stays mapped between calls.
  mallopt(M_MMAP_THRESHOLD, 1 << 25);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  halfstep::RegisterAll();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
