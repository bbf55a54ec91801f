// Command grpc_go is grpc-go against a PairDB server, without any proto file: the messages come by
// reflection. It prints JSON of what it saw.
//
//	grpc_go HOST:PORT
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	reflection "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

const limit = 20 * time.Second

type fields map[string]any

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 3*limit)
	defer cancel()
	connection := must(grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials())))
	defer connection.Close()
	kv := reflect(ctx, connection, "pairdb.v1.KeyValueService")
	health := reflect(ctx, connection, "grpc.health.v1.Health")

	const tenant = "grpc-go"
	allBytes := make([]byte, 256)
	for i := range allBytes {
		allBytes[i] = byte(i)
	}
	put := must(kv.unary(ctx, "Put", fields{"tenantId": tenant, "key": "schlüssel", "value": allBytes}))
	got := must(kv.unary(ctx, "Get", fields{"tenantId": tenant, "key": "schlüssel"}))
	items := make([]fields, 1000)
	for i := range items {
		items[i] = fields{"key": fmt.Sprintf("k%03d", i), "value": bytes.Repeat([]byte("v"), i)}
	}
	stored := must(kv.unary(ctx, "BatchPut", fields{"tenantId": tenant, "items": items}))
	keys := kv.scan(ctx, fields{"tenantId": tenant, "prefix": "k"})

	// Compressed both ways: the value is large enough for the server to compress its answer too.
	zeros := make([]byte, 1<<20)
	zip := grpc.UseCompressor(gzip.Name)
	must(kv.unary(ctx, "Put", fields{"tenantId": tenant, "key": "zeros", "value": zeros}, zip))
	zipped := must(kv.unary(ctx, "Get", fields{"tenantId": tenant, "key": "zeros"}, zip))

	_, noKey := kv.unary(ctx, "Get", fields{"tenantId": tenant, "key": "none"})
	_, badKey := kv.unary(ctx, "Put", fields{"tenantId": tenant, "key": "a\nb", "value": []byte{}})
	_, noMethod := kv.call(ctx, "/pairdb.v1.KeyValueService/Nothing", "Get", fields{})
	short, cancelShort := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancelShort()
	watched, watchError := health.stream(short, "Watch", fields{})

	must(0, json.NewEncoder(os.Stdout).Encode(fields{
		"valueBack":      bytes.Equal(value(got), allBytes),
		"sameClock":      proto.Equal(clock(put), clock(got)),
		"stored":         list(stored, "results").Len(),
		"scanned":        len(keys),
		"scannedInOrder": sort.StringsAreSorted(keys),
		"zipped":         bytes.Equal(value(zipped), zeros),
		"noKey":          kv.describe(noKey),
		"badKey":         kv.describe(badKey),
		"noMethod":       kv.describe(noMethod),
		"watched":        len(watched),
		"deadline":       status.Code(watchError).String(),
	}))
}

// A service whose messages are known by reflection.
type service struct {
	connection *grpc.ClientConn
	descriptor protoreflect.ServiceDescriptor
	files      *protoregistry.Files
}

// Asks the server for a service, with all that its file imports.
func reflect(ctx context.Context, connection *grpc.ClientConn, name string) service {
	stream := must(reflection.NewServerReflectionClient(connection).ServerReflectionInfo(ctx))
	request := reflection.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: name}
	must(0, stream.Send(&reflection.ServerReflectionRequest{MessageRequest: &request}))
	answer := must(stream.Recv())
	must(0, stream.CloseSend())
	set := &descriptorpb.FileDescriptorSet{}
	for _, file := range answer.GetFileDescriptorResponse().GetFileDescriptorProto() {
		descriptor := &descriptorpb.FileDescriptorProto{}
		must(0, proto.Unmarshal(file, descriptor))
		set.File = append(set.File, descriptor)
	}
	files := must(protodesc.NewFiles(set))
	descriptor := must(files.FindDescriptorByName(protoreflect.FullName(name)))
	return service{connection, descriptor.(protoreflect.ServiceDescriptor), files}
}

func (s service) method(name string) protoreflect.MethodDescriptor {
	return s.descriptor.Methods().ByName(protoreflect.Name(name))
}

func (s service) path(name string) string {
	return fmt.Sprintf("/%s/%s", s.descriptor.FullName(), name)
}

// A message from its fields, by way of JSON.
func message(descriptor protoreflect.MessageDescriptor, from fields) *dynamicpb.Message {
	made := dynamicpb.NewMessage(descriptor)
	must(0, protojson.Unmarshal(must(json.Marshal(from)), made))
	return made
}

func (s service) unary(ctx context.Context, name string, request fields, options ...grpc.CallOption) (*dynamicpb.Message, error) {
	return s.call(ctx, s.path(name), name, request, options...)
}

// Calls a path with the messages of a method.
func (s service) call(ctx context.Context, path, name string, request fields, options ...grpc.CallOption) (*dynamicpb.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	answer := dynamicpb.NewMessage(s.method(name).Output())
	err := s.connection.Invoke(ctx, path, message(s.method(name).Input(), request), answer, options...)
	return answer, err
}

// All answers of a stream, and how it ended; nil for well.
func (s service) stream(ctx context.Context, name string, request fields) ([]*dynamicpb.Message, error) {
	stream := must(s.connection.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, s.path(name)))
	must(0, stream.SendMsg(message(s.method(name).Input(), request)))
	must(0, stream.CloseSend())
	var answers []*dynamicpb.Message
	for {
		answer := dynamicpb.NewMessage(s.method(name).Output())
		switch err := stream.RecvMsg(answer); err {
		case nil:
			answers = append(answers, answer)
		case io.EOF:
			return answers, nil
		default:
			return answers, err
		}
	}
}

// The keys that a scan finds.
func (s service) scan(ctx context.Context, request fields) []string {
	var keys []string
	for _, answer := range must(s.stream(ctx, "Scan", request)) {
		entries := list(answer, "entries")
		for i := range entries.Len() {
			entry := entries.Get(i).Message()
			keys = append(keys, entry.Get(entry.Descriptor().Fields().ByName("key")).String())
		}
	}
	return keys
}

// Status, message and number of a call that failed.
func (s service) describe(err error) fields {
	failure := status.Convert(err)
	told := fields{"status": failure.Code().String(), "text": failure.Message()}
	for _, detail := range failure.Proto().GetDetails() {
		name := detail.TypeUrl[strings.LastIndex(detail.TypeUrl, "/")+1:]
		descriptor := must(s.files.FindDescriptorByName(protoreflect.FullName(name)))
		made := dynamicpb.NewMessage(descriptor.(protoreflect.MessageDescriptor))
		must(0, proto.Unmarshal(detail.Value, made))
		told["type"] = name
		told["code"] = made.Get(made.Descriptor().Fields().ByName("code")).Enum()
		told["name"] = made.Get(made.Descriptor().Fields().ByName("name")).String()
	}
	return told
}

func field(of *dynamicpb.Message, name string) protoreflect.Value {
	return of.Get(of.Descriptor().Fields().ByName(protoreflect.Name(name)))
}

func value(of *dynamicpb.Message) []byte { return field(of, "value").Bytes() }

func clock(of *dynamicpb.Message) proto.Message {
	return field(of, "vector_clock").Message().Interface()
}

func list(of *dynamicpb.Message, name string) protoreflect.List { return field(of, name).List() }

// The value of a call that has to go well.
func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}
