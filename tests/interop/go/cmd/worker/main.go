// Command worker is an earlier worker of hydra.v1: it stands for the one that an installation moves over from, or
// that serves some of the services beside ours. It keeps in Restate the state that such a worker keeps, and writes
// down what reaches it. It has no database: what rows would tell it is in a file for each deployment.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os/signal"
	"strings"
	"syscall"

	restate "github.com/restatedev/sdk-go"
	"github.com/restatedev/sdk-go/server"
)

// worker is what the handlers share.
type worker struct {
	notes *notebook
	plans string
}

// offered names the services, as the keys of `[services]` in our configuration name them.
var offered = map[string]func(*worker) restate.ServiceDefinition{
	"deploy":        (*worker).deployService,
	"deployment":    (*worker).deploymentService,
	"routing":       (*worker).routingService,
	"versioning":    (*worker).versioningService,
	"github_status": (*worker).githubStatusService,
	"openapi":       (*worker).openapiService,
}

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	listen := flag.String("listen", "127.0.0.1:9080", "`address` that Restate calls")
	services := flag.String("services", "", "comma-separated `names` of the services to serve")
	notes := flag.String("notes", "", "`file` that is told what reached this worker")
	plans := flag.String("plans", ".", "`folder` with a plan for each deployment that one is known of")
	flag.Parse()

	opened, err := openNotebook(*notes)
	if err != nil {
		return err
	}
	endpoint := server.NewRestate()
	for _, name := range strings.Split(*services, ",") {
		service, known := offered[name]
		if !known {
			return fmt.Errorf("there is no service %q", name)
		}
		endpoint.Bind(service(&worker{notes: opened, plans: *plans}))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return endpoint.Start(ctx, *listen)
}
