// Calls Halfstep with grpc-go and the proto alone.
//
// Needs Go 1.25 and protoc. In this folder:
//
//	GOBIN=$PWD/bin go install tool
//	go generate
//	go run . 127.0.0.1:50051 ../../../tests/golden
package main

//go:generate mkdir -p halfstepv1
//go:generate protoc -I ../../../proto --plugin=bin/protoc-gen-go --plugin=bin/protoc-gen-go-grpc --go_out=halfstepv1 --go-grpc_out=halfstepv1 --go_opt=module=halfstep/v1 --go-grpc_opt=module=halfstep/v1 --go_opt=Mhalfstep/v1/quantization.proto=halfstep/v1;halfstepv1 --go-grpc_opt=Mhalfstep/v1/quantization.proto=halfstep/v1;halfstepv1 halfstep/v1/quantization.proto

import (
	"context"
	"encoding/binary"
	"fmt"
	"log"
	"math"
	"os"
	"slices"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	pb "halfstep-example/halfstepv1"
)

const (
	attempts = 5
	timeout  = 10 * time.Second
)

// patiently calls again while the server is busy, after as long as it says each
// time. A RESOURCE_EXHAUSTED without RetryInfo is over a limit: that never gets
// better.
func patiently(call func(context.Context) error) error {
	for attempt := 1; ; attempt++ {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		err := call(ctx)
		cancel()
		delay, busy := retryDelay(err)
		if !busy || attempt == attempts {
			return err
		}
		fmt.Printf("busy         waiting %v\n", delay)
		time.Sleep(delay)
	}
}

func retryDelay(err error) (time.Duration, bool) {
	if status.Code(err) == codes.ResourceExhausted {
		for _, detail := range status.Convert(err).Details() {
			if retry, ok := detail.(*errdetails.RetryInfo); ok {
				return retry.GetRetryDelay().AsDuration(), true
			}
		}
	}
	return 0, false
}

// fieldsAtFault are those that the BadRequest in the status details names.
func fieldsAtFault(err error) []string {
	var fields []string
	for _, detail := range status.Convert(err).Details() {
		if request, ok := detail.(*errdetails.BadRequest); ok {
			for _, violation := range request.GetFieldViolations() {
				fields = append(fields, violation.GetField())
			}
		}
	}
	return fields
}

// roundTrip turns four reals into 4-bit codes and back.
func roundTrip(service pb.QuantizationServiceClient) error {
	reals := []float32{199.93, -9.18, 0, 7.15}
	var data []byte
	for _, real := range reals {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(real))
	}
	request := &pb.QuantizeRequest{
		How: &pb.QuantizeRequest_Spec{Spec: &pb.QuantizationSpec{Bits: 4}},
		Tensor: &pb.Tensor{
			Dtype: pb.DataType_DATA_TYPE_FLOAT32,
			Shape: []int64{int64(len(reals))},
			Data:  data,
		},
	}
	var tensor *pb.QuantizedTensor
	err := patiently(func(ctx context.Context) error {
		reply, err := service.Quantize(ctx, request)
		tensor = reply.GetTensor()
		return err
	})
	if err != nil {
		return err
	}
	scale := float32(tensor.GetParameters().GetScale()[0])
	zeroPoint := tensor.GetParameters().GetZeroPoint()[0]
	fmt.Printf("quantized    codes %v, scale %v, zero point %v\n", tensor.GetCodes(), scale, zeroPoint)

	err = patiently(func(ctx context.Context) error {
		reply, err := service.Dequantize(ctx, &pb.DequantizeRequest{Tensor: tensor})
		data = reply.GetTensor().GetData()
		return err
	})
	if err != nil {
		return err
	}
	var back, formula []float32
	for i, code := range tensor.GetCodes() {
		back = append(back, math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:])))
		formula = append(formula, scale*float32(int32(code)-zeroPoint))
	}
	fmt.Printf("dequantized  %v\n", back)

	if !slices.Equal(back, formula) {
		return fmt.Errorf("dequantized: %v; must be %v", back, formula)
	}
	for i, real := range reals {
		if math.Abs(float64(real-back[i])) > float64(scale)/2 {
			return fmt.Errorf("%v came back as %v; must be at most half a step off", real, back[i])
		}
	}
	return nil
}

func refusal(service pb.QuantizationServiceClient) error {
	request := &pb.QuantizeRequest{
		How: &pb.QuantizeRequest_Spec{Spec: &pb.QuantizationSpec{Bits: 33}},
		// Small tensors can be given as numbers, this one as a scalar.
		Tensor: &pb.Tensor{Values: []float64{7.15}},
	}
	err := patiently(func(ctx context.Context) error {
		_, err := service.Quantize(ctx, request)
		return err
	})
	fields := fieldsAtFault(err)
	if status.Code(err) != codes.InvalidArgument || !slices.Equal(fields, []string{"spec.bits"}) {
		return fmt.Errorf("33 bits: %v for %v; must be refused for spec.bits", err, fields)
	}
	fmt.Printf("refused      field %v: %v\n", fields[0], status.Convert(err).Message())
	return nil
}

func run(address, folder string) error {
	connection, err := grpc.NewClient(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		// By default a reply may not be larger than 4 MiB.
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)))
	if err != nil {
		return err
	}
	defer connection.Close()
	service := pb.NewQuantizationServiceClient(connection)
	if err := roundTrip(service); err != nil {
		return err
	}
	if err := refusal(service); err != nil {
		return err
	}
	count, err := checkGolden(connection, folder)
	if err != nil {
		return err
	}
	fmt.Printf("golden       %d vectors agree\n", count)
	return nil
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: halfstep-example ADDRESS GOLDEN_FOLDER")
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}
