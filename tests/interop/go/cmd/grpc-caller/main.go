// Command grpc-caller calls hydra.v1.DeployService over gRPC, with the stubs of protoc-gen-go-grpc and grpc-go.
//
//	grpc-caller [options] call RPC < request.json
//	grpc-caller [options] check [SERVICE]
//	grpc-caller [options] watch [SERVICE]
//
// It writes what Go saw, as JSON; of a watch one line for every health, until one is not SERVING. An error status is
// one of the things to see, and no failure of the program.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

func main() {
	var door door
	sent := metadata.MD{}
	address := flag.String("address", "127.0.0.1:9090", "where the server is")
	timeout := flag.Duration("timeout", time.Minute, "the deadline of a call")
	flag.Func("metadata", "request metadata, as name=value", func(pair string) error {
		name, value, _ := strings.Cut(pair, "=")
		sent.Append(name, value)
		return nil
	})
	flag.StringVar(&door.authorities, "ca", "", "PEM `file` of who signs servers; without it there is no TLS")
	flag.StringVar(&door.certificate, "cert", "", "PEM `file` of the client's certificate")
	flag.StringVar(&door.key, "key", "", "PEM `file` of the certificate's key")
	flag.StringVar(&door.serverName, "server-name", "", "the name in the server's certificate, where it is another")
	flag.StringVar(&door.tokenVariable, "token-env", "", "`variable` of the environment with the bearer token")
	flag.DurationVar(&door.keepalive, "keepalive", 0, "how long to hear nothing before a ping; grpc-go takes 10s at least")
	flag.Parse()

	ctx, cancel := context.WithTimeout(metadata.NewOutgoingContext(context.Background(), sent), *timeout)
	defer cancel()
	if err := act(ctx, *address, door, flag.Arg(0), flag.Arg(1)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

func act(ctx context.Context, address string, door door, verb, name string) error {
	dialed, err := door.options()
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient(address, dialed...)
	if err != nil {
		return err
	}
	defer conn.Close()
	report := json.NewEncoder(os.Stdout)
	switch verb {
	case "call":
		method, known := methods(conn)[name]
		if !known {
			return fmt.Errorf("%q is no rpc of hydra.v1.DeployService", name)
		}
		found, err := method(ctx, os.Stdin)
		if err != nil {
			return err
		}
		return report.Encode(found)
	case "check":
		return report.Encode(check(ctx, conn, name))
	case "watch":
		return watch(ctx, conn, name, func(found seen) error { return report.Encode(found) })
	}
	return fmt.Errorf("%q is none of call, check and watch", verb)
}
