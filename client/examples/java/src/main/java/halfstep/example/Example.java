package halfstep.example;

import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.rpc.BadRequest;
import com.google.rpc.RetryInfo;
import halfstep.v1.Quantization.DataType;
import halfstep.v1.Quantization.DequantizeRequest;
import halfstep.v1.Quantization.QuantizationSpec;
import halfstep.v1.Quantization.QuantizeRequest;
import halfstep.v1.Quantization.QuantizedTensor;
import halfstep.v1.Quantization.Tensor;
import halfstep.v1.QuantizationServiceGrpc;
import halfstep.v1.QuantizationServiceGrpc.QuantizationServiceBlockingStub;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/**
 * Calls Halfstep with grpc-java and the proto alone.
 *
 * <p>Needs JDK 17 and Maven 3.8. In this folder:
 *
 * <pre>
 * mvn package
 * java -jar target/halfstep-example.jar 127.0.0.1:50051 ../../../tests/golden
 * </pre>
 */
public final class Example {
  static final long TIMEOUT_SECONDS = 10;
  private static final int ATTEMPTS = 5;

  /**
   * Calls again while the server is busy, after as long as it says each time.
   *
   * <p>A RESOURCE_EXHAUSTED without RetryInfo is over a limit: that never gets better.
   */
  static <T> T patiently(Supplier<T> call) throws Exception {
    for (int attempt = 1; ; attempt++) {
      try {
        return call.get();
      } catch (StatusRuntimeException error) {
        Optional<RetryInfo> retry = details(error, RetryInfo.class).stream().findFirst();
        boolean busy =
            error.getStatus().getCode() == Status.Code.RESOURCE_EXHAUSTED && retry.isPresent();
        if (!busy || attempt == ATTEMPTS) {
          throw error;
        }
        com.google.protobuf.Duration told = retry.get().getRetryDelay();
        Duration delay = Duration.ofSeconds(told.getSeconds(), told.getNanos());
        System.out.printf("busy         waiting %d ms%n", delay.toMillis());
        TimeUnit.NANOSECONDS.sleep(delay.toNanos());
      }
    }
  }

  /** The messages of one type in the status details of a failed call. */
  private static <T extends Message> List<T> details(StatusRuntimeException error, Class<T> type)
      throws InvalidProtocolBufferException {
    List<T> found = new ArrayList<>();
    for (Any detail : StatusProto.fromThrowable(error).getDetailsList()) {
      if (detail.is(type)) {
        found.add(detail.unpack(type));
      }
    }
    return found;
  }

  static List<String> fieldsAtFault(StatusRuntimeException error) throws Exception {
    return details(error, BadRequest.class).stream()
        .flatMap(request -> request.getFieldViolationsList().stream())
        .map(BadRequest.FieldViolation::getField)
        .toList();
  }

  /** Four reals to 4-bit codes and back. */
  private static void roundTrip(QuantizationServiceBlockingStub service) throws Exception {
    float[] reals = {199.93f, -9.18f, 0, 7.15f};
    ByteBuffer data = ByteBuffer.allocate(4 * reals.length).order(ByteOrder.LITTLE_ENDIAN);
    data.asFloatBuffer().put(reals);
    QuantizeRequest request =
        QuantizeRequest.newBuilder()
            .setSpec(QuantizationSpec.newBuilder().setBits(4))
            .setTensor(
                Tensor.newBuilder()
                    .setDtype(DataType.DATA_TYPE_FLOAT32)
                    .addShape(reals.length)
                    .setData(ByteString.copyFrom(data)))
            .build();
    QuantizedTensor tensor =
        patiently(() -> withDeadline(service).quantize(request)).getTensor();
    byte[] codes = tensor.getCodes().toByteArray();
    float scale = (float) tensor.getParameters().getScale(0);
    int zeroPoint = tensor.getParameters().getZeroPoint(0);
    System.out.printf(
        "quantized    codes %s, scale %s, zero point %d%n",
        Arrays.toString(codes), scale, zeroPoint);

    DequantizeRequest reverse = DequantizeRequest.newBuilder().setTensor(tensor).build();
    ByteString reply =
        patiently(() -> withDeadline(service).dequantize(reverse)).getTensor().getData();
    float[] back = new float[reals.length];
    reply.asReadOnlyByteBuffer().order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(back);
    System.out.printf("dequantized  %s%n", Arrays.toString(back));

    for (int i = 0; i < reals.length; i++) {
      float formula = scale * (codes[i] - zeroPoint);
      if (back[i] != formula) {
        throw new IllegalStateException("dequantized: " + back[i] + "; must be " + formula);
      }
      if (Math.abs(reals[i] - back[i]) > scale / 2) {
        throw new IllegalStateException(
            reals[i] + " came back as " + back[i] + "; must be at most half a step off");
      }
    }
  }

  private static void refusal(QuantizationServiceBlockingStub service) throws Exception {
    QuantizeRequest request =
        QuantizeRequest.newBuilder()
            .setSpec(QuantizationSpec.newBuilder().setBits(33))
            // Small tensors can be given as numbers, this one as a scalar.
            .setTensor(Tensor.newBuilder().addValues(7.15))
            .build();
    try {
      patiently(() -> withDeadline(service).quantize(request));
    } catch (StatusRuntimeException error) {
      List<String> fields = fieldsAtFault(error);
      if (error.getStatus().getCode() != Status.Code.INVALID_ARGUMENT
          || !fields.equals(List.of("spec.bits"))) {
        throw error;
      }
      System.out.printf(
          "refused      field %s: %s%n", fields.get(0), error.getStatus().getDescription());
      return;
    }
    throw new IllegalStateException("33 bits: not refused");
  }

  private static QuantizationServiceBlockingStub withDeadline(
      QuantizationServiceBlockingStub service) {
    return service.withDeadlineAfter(TIMEOUT_SECONDS, TimeUnit.SECONDS);
  }

  private static void run(String address, Path folder) throws Exception {
    ManagedChannel channel =
        Grpc.newChannelBuilder(address, InsecureChannelCredentials.create())
            // By default a reply may not be larger than 4 MiB.
            .maxInboundMessageSize(Integer.MAX_VALUE)
            .build();
    try {
      QuantizationServiceBlockingStub service = QuantizationServiceGrpc.newBlockingStub(channel);
      roundTrip(service);
      refusal(service);
      System.out.printf("golden       %d vectors agree%n", new Golden(channel).check(folder));
    } finally {
      channel.shutdownNow().awaitTermination(TIMEOUT_SECONDS, TimeUnit.SECONDS);
    }
  }

  public static void main(String[] arguments) {
    if (arguments.length != 2) {
      System.err.println("usage: Example ADDRESS GOLDEN_FOLDER");
      System.exit(2);
    }
    try {
      run(arguments[0], Path.of(arguments[1]));
    } catch (Exception error) {
      System.err.println(error.getMessage());
      System.exit(1);
    }
  }

  private Example() {}
}
