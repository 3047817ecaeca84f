// Command webhook serves a Restate service that calls hydra.v1 from inside Restate, as a worker does that hears of
// pushes: handler to handler, with the clients that protoc-gen-go-restate makes.
package main

import (
	"context"
	"flag"
	"log"
	"os/signal"
	"syscall"

	restate "github.com/restatedev/sdk-go"
	"github.com/restatedev/sdk-go/server"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:9080", "where Restate is to find the service")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := server.NewRestate().Bind(restate.Reflect(webhook{})).Start(ctx, *listen); err != nil {
		log.Fatal(err)
	}
}
