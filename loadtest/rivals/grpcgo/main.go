// A unary echo on grpc-go on one core: messages go back as the bytes they came as. Prints
// 'listening PORT'; answers 'calls' on standard input; ends with its parent.
package main

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"runtime"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
)

const maxMessageBytes = 64 << 20

// Answers that ended with OK.
var calls atomic.Int64

// bytesCodec hands messages on without copying them.
type bytesCodec struct{}

func (bytesCodec) Name() string { return "proto" }

func (bytesCodec) Marshal(message any) (mem.BufferSlice, error) {
	return *message.(*mem.BufferSlice), nil
}

func (bytesCodec) Unmarshal(data mem.BufferSlice, message any) error {
	data.Ref()
	*message.(*mem.BufferSlice) = data
	return nil
}

type echoServer interface {
	echo(ctx context.Context, message *mem.BufferSlice) (*mem.BufferSlice, error)
}

type service struct{}

func (service) echo(_ context.Context, message *mem.BufferSlice) (*mem.BufferSlice, error) {
	calls.Add(1)
	return message, nil
}

func handleEcho(
	srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor,
) (any, error) {
	message := new(mem.BufferSlice)
	if err := decode(message); err != nil {
		return nil, err
	}
	return srv.(echoServer).echo(ctx, message)
}

var description = grpc.ServiceDesc{
	ServiceName: "bench.Echo",
	HandlerType: (*echoServer)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Echo", Handler: handleEcho}},
}

func answerControlLines() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if lines.Text() == "calls" {
			fmt.Printf("calls %d\n", calls.Load())
		} else {
			fmt.Printf("unknown %s\n", lines.Text())
		}
	}
	os.Exit(0)
}

func main() {
	runtime.GOMAXPROCS(1)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer(
		grpc.ForceServerCodecV2(bytesCodec{}),
		grpc.MaxRecvMsgSize(maxMessageBytes),
		grpc.MaxSendMsgSize(maxMessageBytes),
	)
	server.RegisterService(&description, service{})
	fmt.Printf("listening %d\n", listener.Addr().(*net.TCPAddr).Port)
	go answerControlLines()
	if err := server.Serve(listener); err != nil {
		log.Fatal(err)
	}
}
