package main

import (
	"encoding/json"
	"os"
	"sync"

	restate "github.com/restatedev/sdk-go"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// note is one line of the notebook.
type note struct {
	Event   string          `json:"event"`   // "got" a call, "heard" an answer, or "waits" to be told to go on
	Handler string          `json:"handler"` // hydra.v1.RoutingService/AssignFrontlineRoutes
	Key     string          `json:"key"`
	Message json.RawMessage `json:"message,omitempty"`
	Error   string          `json:"error,omitempty"`
	Code    int             `json:"code,omitempty"`
}

// notebook is a file of notes, a line of JSON each.
type notebook struct {
	mutex sync.Mutex
	file  *os.File
}

func openNotebook(path string) (*notebook, error) {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	return &notebook{file: file}, err
}

// write keeps a note once, however often the invocation is replayed.
func (n *notebook) write(ctx restate.Context, written note) error {
	return restate.RunVoid(ctx, func(restate.RunContext) error {
		line, err := json.Marshal(written)
		if err != nil {
			return err
		}
		n.mutex.Lock()
		defer n.mutex.Unlock()
		_, err = n.file.Write(append(line, '\n'))
		return err
	}, restate.WithName(written.Event+" "+written.Handler))
}

// noted makes a handler that notes a call before it serves it.
func noted[I, O proto.Message](
	w *worker, handler string, serve restate.ObjectHandlerFn[I, O],
) restate.ObjectHandlerFn[I, O] {
	return func(ctx restate.ObjectContext, request I) (O, error) {
		if err := w.got(ctx, handler, restate.Key(ctx), request); err != nil {
			var none O
			return none, err
		}
		return serve(ctx, request)
	}
}

func (w *worker) got(ctx restate.Context, handler, key string, request proto.Message) error {
	return w.notes.write(ctx, note{Event: "got", Handler: handler, Key: key, Message: spelled(request)})
}

// ask calls a handler, whoever serves it, and notes how Go understood the answer.
func ask[I, O proto.Message](
	ctx restate.Context, w *worker, to note, client restate.Client[I, O], request I, options ...restate.RequestOption,
) (O, error) {
	answer, err := client.Request(request, options...)
	to.Event = "heard"
	if err == nil {
		to.Message = spelled(answer)
	} else {
		to.Error, to.Code = err.Error(), int(restate.ErrorCode(err))
	}
	if unwritten := w.notes.write(ctx, to); unwritten != nil {
		return answer, unwritten
	}
	return answer, err
}

// spelled writes a message with every field, set or not.
func spelled(message proto.Message) json.RawMessage {
	text, err := protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(message)
	if err != nil {
		return json.RawMessage(`null`) // a string that is not UTF-8, which does not come over JSON
	}
	return text
}
