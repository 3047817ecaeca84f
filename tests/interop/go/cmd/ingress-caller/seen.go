package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/restatedev/sdk-go/ingress"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// seen is what a call tells a Go caller: the answer, or which invocation there will be one of, or an error.
type seen struct {
	Response   json.RawMessage `json:"response,omitempty"`
	Invocation string          `json:"invocation,omitempty"`
	Status     string          `json:"status,omitempty"`
	Error      *failure        `json:"error,omitempty"`
}

// failure is an error as Go tells it from others. The code is 0 where only the message has it.
type failure struct {
	Kind    string `json:"kind"`
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func answered(response proto.Message, err error) (seen, error) {
	if err != nil {
		return refused(err), nil
	}
	written, err := protojson.Marshal(response)
	return seen{Response: written}, err
}

func refused(err error) seen {
	var notFound *ingress.InvocationNotFoundError
	var notReady *ingress.InvocationNotReadyError
	found := &failure{Kind: "error", Message: err.Error()}
	switch {
	case errors.As(err, &notFound):
		found.Kind, found.Code = "InvocationNotFoundError", notFound.Code
	case errors.As(err, &notReady):
		found.Kind, found.Code = "InvocationNotReadyError", notReady.Code
	case strings.HasSuffix(fmt.Sprintf("%T", err), ".GenericError"): // the SDK exports no name for it to ask by
		found.Kind = "GenericError"
	}
	return seen{Error: found}
}
