package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// door says how a caller shows who it is and makes sure of who answers. Empty is without.
type door struct {
	authorities   string
	certificate   string
	key           string
	serverName    string
	tokenVariable string
	keepalive     time.Duration
}

func (d door) options() ([]grpc.DialOption, error) {
	transport, err := d.transport()
	if err != nil {
		return nil, err
	}
	options := []grpc.DialOption{grpc.WithTransportCredentials(transport)}
	if d.tokenVariable != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearer{os.Getenv(d.tokenVariable), d.authorities != ""}))
	}
	if d.keepalive != 0 {
		options = append(options, grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: d.keepalive}))
	}
	return options, nil
}

func (d door) transport() (credentials.TransportCredentials, error) {
	if d.authorities == "" {
		return insecure.NewCredentials(), nil
	}
	pem, err := os.ReadFile(d.authorities)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: d.serverName, MinVersion: tls.VersionTLS12}
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate", d.authorities)
	}
	if d.certificate != "" {
		own, err := tls.LoadX509KeyPair(d.certificate, d.key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{own}
	}
	return credentials.NewTLS(config), nil
}

// bearer sends a token with every call.
type bearer struct {
	token  string
	secret bool // only over TLS; a server on loopback may take tokens without
}

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + b.token}, nil
}

func (b bearer) RequireTransportSecurity() bool {
	return b.secret
}
