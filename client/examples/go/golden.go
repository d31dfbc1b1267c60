package main

// The golden vectors: docs/golden.md says what is in them.

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

type goldenCase struct {
	Name, Method      string
	Request, Response json.RawMessage
	Within            map[string]float64
	Error             *struct {
		Code  string
		Field *string
	}
}

// checkGolden checks every case of every file in folder and returns how many
// there are.
func checkGolden(connection *grpc.ClientConn, folder string) (int, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		return 0, err
	}
	count, failed := 0, 0
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return 0, err
		}
		var file struct{ Cases []goldenCase }
		if err := json.Unmarshal(text, &file); err != nil {
			return 0, fmt.Errorf("%v: %w", path, err)
		}
		for _, golden := range file.Cases {
			found, err := checkCase(connection, golden)
			if err != nil {
				return 0, fmt.Errorf("%v: %v: %w", path, golden.Name, err)
			}
			count++
			if len(found) > 0 {
				failed++
				fmt.Printf("%v: %v: %v\n", path, golden.Name, strings.Join(found, "; "))
			}
		}
	}
	if failed > 0 || count == 0 {
		return 0, fmt.Errorf("%d of %d golden vectors differ", failed, count)
	}
	return count, nil
}

// message reads the JSON form of a message of the API by its name.
func message(name string, text json.RawMessage) (proto.Message, error) {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(
		protoreflect.FullName("halfstep.v1." + name))
	if err != nil {
		return nil, err
	}
	read := kind.New().Interface()
	if text != nil {
		err = protojson.Unmarshal(text, read)
	}
	return read, err
}

func checkCase(connection *grpc.ClientConn, golden goldenCase) ([]string, error) {
	request, err := message(golden.Method+"Request", golden.Request)
	if err != nil {
		return nil, err
	}
	wanted, err := message(golden.Method+"Response", golden.Response)
	if err != nil {
		return nil, err
	}
	reply := wanted.ProtoReflect().New().Interface()
	err = patiently(func(ctx context.Context) error {
		return connection.Invoke(ctx, "/halfstep.v1.QuantizationService/"+golden.Method, request, reply)
	})
	if golden.Error == nil {
		if err != nil {
			return []string{"refused: " + err.Error()}, nil
		}
		var named map[string]any
		if err := json.Unmarshal(golden.Response, &named); err != nil {
			return nil, err
		}
		return differences(reply.ProtoReflect(), wanted.ProtoReflect(), named, golden.Within, ""), nil
	}
	var found []string
	// InvalidArgument here, INVALID_ARGUMENT there.
	code := strings.ReplaceAll(golden.Error.Code, "_", "")
	if !strings.EqualFold(status.Code(err).String(), code) {
		found = append(found, fmt.Sprintf("%v; must be refused as %v", err, golden.Error.Code))
	}
	fields := fieldsAtFault(err)
	if want := golden.Error.Field; want != nil && (len(fields) == 0 || fields[0] != *want) {
		found = append(found, fmt.Sprintf("refused for %v; must be for %v", fields, *want))
	}
	return found, nil
}

// differences says where two messages differ in the fields that named, JSON, has.
// Others are free.
func differences(actual, wanted protoreflect.Message, named map[string]any,
	within map[string]float64, path string) []string {
	var found []string
	for name, value := range named {
		field := actual.Descriptor().Fields().ByJSONName(name)
		a, w := actual.Get(field), wanted.Get(field)
		if inner, ok := value.(map[string]any); ok {
			if !actual.Has(field) {
				found = append(found, path+name+": missing")
			}
			found = append(found,
				differences(a.Message(), w.Message(), inner, within, path+name+".")...)
			continue
		}
		tolerance, loose := within[path+name]
		same := slices.EqualFunc(elements(field, a), elements(field, w),
			func(a, w protoreflect.Value) bool {
				if loose {
					return math.Abs(a.Float()-w.Float()) <= tolerance
				}
				// Equal takes NaN for NaN, but also -0.0 for 0.0.
				return a.Equal(w) && (field.Kind() != protoreflect.DoubleKind ||
					math.Signbit(a.Float()) == math.Signbit(w.Float()))
			})
		if !same {
			found = append(found, fmt.Sprintf("%v%v: %v, not %v", path, name, a, w))
		}
	}
	return found
}

// elements of a field, which is a list or a single value.
func elements(field protoreflect.FieldDescriptor, value protoreflect.Value) []protoreflect.Value {
	if !field.IsList() {
		return []protoreflect.Value{value}
	}
	var all []protoreflect.Value
	for i := range value.List().Len() {
		all = append(all, value.List().Get(i))
	}
	return all
}
