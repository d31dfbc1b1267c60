package halfstep.example;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import com.google.protobuf.MessageOrBuilder;
import com.google.protobuf.util.JsonFormat;
import halfstep.v1.QuantizationServiceGrpc;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.PrototypeMarshaller;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCalls;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** The golden vectors: docs/golden.md says what is in them. */
final class Golden {
  private final Channel channel;

  Golden(Channel channel) {
    this.channel = channel;
  }

  /** Checks every case of every file in {@code folder} and returns how many there are. */
  int check(Path folder) throws Exception {
    int count = 0;
    int failed = 0;
    try (DirectoryStream<Path> files = Files.newDirectoryStream(folder, "*.json")) {
      for (Path file : files) {
        JsonObject content = JsonParser.parseString(Files.readString(file)).getAsJsonObject();
        for (JsonElement element : content.getAsJsonArray("cases")) {
          JsonObject golden = element.getAsJsonObject();
          List<String> found = checkCase(golden);
          count++;
          if (!found.isEmpty()) {
            failed++;
            System.out.printf("%s: %s: %s%n", file, golden.get("name"), String.join("; ", found));
          }
        }
      }
    }
    if (failed > 0 || count == 0) {
      throw new IllegalStateException(failed + " of " + count + " golden vectors differ");
    }
    return count;
  }

  private List<String> checkCase(JsonObject golden) throws Exception {
    MethodDescriptor<Message, Message> method = method(golden.get("method").getAsString());
    Message request = parse(prototype(method.getRequestMarshaller()), golden.get("request"));
    JsonObject wanted = golden.getAsJsonObject("error");
    List<String> found = new ArrayList<>();
    try {
      Message reply =
          Example.patiently(
              () -> ClientCalls.blockingUnaryCall(channel, method, withDeadline(), request));
      if (wanted != null) {
        return List.of("not refused; must be " + wanted);
      }
      Message response = parse(prototype(method.getResponseMarshaller()), golden.get("response"));
      JsonObject within =
          golden.has("within") ? golden.getAsJsonObject("within") : new JsonObject();
      addDifferences(reply, response, golden.getAsJsonObject("response"), within, "", found);
    } catch (StatusRuntimeException error) {
      if (wanted == null) {
        return List.of("refused: " + error.getMessage());
      }
      String code = error.getStatus().getCode().name();
      if (!code.equals(wanted.get("code").getAsString())) {
        found.add("refused as " + code + "; must be " + wanted.get("code"));
      }
      JsonElement field = wanted.get("field");
      List<String> fields = Example.fieldsAtFault(error);
      if (!field.isJsonNull()
          && (fields.isEmpty() || !fields.get(0).equals(field.getAsString()))) {
        found.add("refused for " + fields + "; must be for " + field);
      }
    }
    return found;
  }

  private static CallOptions withDeadline() {
    return CallOptions.DEFAULT.withDeadlineAfter(Example.TIMEOUT_SECONDS, TimeUnit.SECONDS);
  }

  /** The method of that name, with messages of any type. */
  @SuppressWarnings("unchecked") // Every method of the service takes and returns messages.
  private static MethodDescriptor<Message, Message> method(String name) {
    return QuantizationServiceGrpc.getServiceDescriptor().getMethods().stream()
        .filter(method -> name.equals(method.getBareMethodName()))
        .map(method -> (MethodDescriptor<Message, Message>) method)
        .findFirst()
        .orElseThrow(() -> new IllegalArgumentException(name + ": not a method"));
  }

  private static Message prototype(MethodDescriptor.Marshaller<Message> marshaller) {
    return (Message) ((PrototypeMarshaller<Message>) marshaller).getMessagePrototype();
  }

  private static Message parse(Message prototype, JsonElement json) throws Exception {
    Message.Builder builder = prototype.newBuilderForType();
    JsonFormat.parser().merge(json.toString(), builder);
    restoreNegativeZeros(builder, json.getAsJsonObject());
    return builder.build();
  }

  /** JsonFormat reads numbers by way of BigDecimal, which knows no -0.0. */
  private static void restoreNegativeZeros(Message.Builder builder, JsonObject json) {
    for (Map.Entry<String, JsonElement> entry : json.entrySet()) {
      FieldDescriptor field = field(builder, entry.getKey());
      if (entry.getValue().isJsonObject()) {
        restoreNegativeZeros(builder.getFieldBuilder(field), entry.getValue().getAsJsonObject());
      } else if (field.getJavaType() == FieldDescriptor.JavaType.DOUBLE) {
        if (!field.isRepeated()) {
          builder.setField(field, withSign((Double) builder.getField(field), entry.getValue()));
          continue;
        }
        for (int i = 0; i < builder.getRepeatedFieldCount(field); i++) {
          Double value = (Double) builder.getRepeatedField(field, i);
          JsonElement text = entry.getValue().getAsJsonArray().get(i);
          builder.setRepeatedField(field, i, withSign(value, text));
        }
      }
    }
  }

  private static Double withSign(Double value, JsonElement text) {
    return value == 0 && text.getAsString().startsWith("-") ? Double.valueOf(-0.0) : value;
  }

  private static FieldDescriptor field(MessageOrBuilder message, String name) {
    return message.getDescriptorForType().getFields().stream()
        .filter(candidate -> candidate.getJsonName().equals(name))
        .findFirst()
        .orElseThrow(() -> new IllegalArgumentException(name + ": not a field"));
  }

  /** Adds where two messages differ in the fields that {@code named} has. Others are free. */
  private static void addDifferences(
      Message actual, Message wanted, JsonObject named, JsonObject within, String path,
      List<String> found) {
    for (Map.Entry<String, JsonElement> entry : named.entrySet()) {
      String here = path + entry.getKey();
      FieldDescriptor field = field(actual, entry.getKey());
      Object a = actual.getField(field);
      Object w = wanted.getField(field);
      if (entry.getValue().isJsonObject()) {
        if (!actual.hasField(field)) {
          found.add(here + ": missing");
        }
        addDifferences(
            (Message) a, (Message) w, entry.getValue().getAsJsonObject(), within, here + ".",
            found);
      } else if (!(within.has(here) ? near(a, w, within.get(here).getAsDouble()) : a.equals(w))) {
        // equals() of a Double, boxed: -0.0 is not 0.0, and NaN is NaN.
        found.add(here + ": " + a + ", not " + w);
      }
    }
  }

  private static boolean near(Object actual, Object wanted, double tolerance) {
    if (actual instanceof List<?> a && wanted instanceof List<?> w) {
      boolean same = a.size() == w.size();
      for (int i = 0; same && i < a.size(); i++) {
        same = near(a.get(i), w.get(i), tolerance);
      }
      return same;
    }
    return Math.abs((Double) actual - (Double) wanted) <= tolerance;
  }
}
