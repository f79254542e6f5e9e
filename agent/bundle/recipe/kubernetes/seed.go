// SPDX-License-Identifier: Apache-2.0

// The seed: what every API server of this version writes into an empty etcd (system namespaces,
// RBAC bootstrap policy, priority classes, flow schemas, local APIServices), read out of a real one
// when the bundle is made. Upstream's server waits a second before it creates the roles, and only
// then do its clients have rights; with them there from the start, controllers, scheduler and
// proxy can begin as soon as it listens. It still checks and repairs everything by itself.
package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// Nothing in these belongs to one cluster only: no addresses, no certificates.
var seedPrefixes = []string{
	"/registry/namespaces/",
	"/registry/clusterroles/",
	"/registry/clusterrolebindings/",
	"/registry/roles/",
	"/registry/rolebindings/",
	"/registry/priorityclasses/",
	"/registry/flowschemas/",
	"/registry/prioritylevelconfigurations/",
	"/registry/apiregistration.k8s.io/apiservices/",
}

const (
	seedTimeout       = 2 * time.Minute
	operationsAtOnce  = 100 // etcd allows 128 in a transaction
	reconnectInterval = 20 * time.Millisecond
)

type seedEntry struct {
	Key   string `json:"key"`
	Value []byte `json:"value"`
}

// connect waits for etcd where it does not listen yet.
func connect(endpoint string) (*clientv3.Client, error) {
	soon := backoff.Config{BaseDelay: reconnectInterval, Multiplier: 1, MaxDelay: reconnectInterval}
	return clientv3.New(clientv3.Config{
		Endpoints:   []string{endpoint},
		DialTimeout: seedTimeout,
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{Backoff: soon})},
	})
}

// loadSeed puts the entries of file into the etcd at endpoint, unless that is in use already.
func loadSeed(file, endpoint string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var entries []seedEntry
	if err := json.Unmarshal(content, &entries); err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	client, err := connect(endpoint)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), seedTimeout)
	defer cancel()
	for len(entries) > 0 {
		batch := entries[:min(len(entries), operationsAtOnce)]
		entries = entries[len(batch):]
		var unused []clientv3.Cmp
		var puts []clientv3.Op
		for _, entry := range batch {
			unused = append(unused, clientv3.Compare(clientv3.CreateRevision(entry.Key), "=", 0))
			puts = append(puts, clientv3.OpPut(entry.Key, string(entry.Value)))
		}
		if _, err := client.Txn(ctx).If(unused...).Then(puts...).Commit(); err != nil {
			return fmt.Errorf("load %s into etcd: %w", file, err)
		}
	}
	return nil
}

// makeSeed starts etcd and an API server of its own and writes to file what the latter made.
func makeSeed(etcd, file string) error {
	runtime.LockOSThread() // what we start dies with the thread that started it
	directory, err := os.MkdirTemp("", "conode-seed.")
	if err != nil {
		return err
	}
	defer os.RemoveAll(directory)
	socket := "unix://" + filepath.Join(directory, "etcd.sock")
	store, err := start(etcd, "--data-dir="+filepath.Join(directory, "etcd"),
		"--unsafe-no-fsync", "--log-level=error", "--listen-client-urls="+socket,
		"--advertise-client-urls=http://127.0.0.1:2379", "--name=n0",
		"--listen-peer-urls=unix://"+filepath.Join(directory, "peer.sock"),
		"--initial-advertise-peer-urls=http://127.0.0.1:2380",
		"--initial-cluster=n0=http://127.0.0.1:2380")
	if err != nil {
		return err
	}
	defer store.stop()
	server, port, err := startServer(directory, socket)
	if err != nil {
		return err
	}
	defer server.stop()
	if err := waitReady(port, store, server); err != nil {
		return err
	}
	entries, err := readSeed(socket)
	if err != nil {
		return err
	}
	content, err := json.Marshal(entries)
	if err != nil {
		return err
	}
	return os.WriteFile(file, content, 0o644)
}

func readSeed(endpoint string) ([]seedEntry, error) {
	client, err := connect(endpoint)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), seedTimeout)
	defer cancel()
	var entries []seedEntry
	for _, prefix := range seedPrefixes {
		found, err := client.Get(ctx, prefix, clientv3.WithPrefix())
		if err != nil {
			return nil, err
		}
		if found.Count == 0 {
			return nil, fmt.Errorf("the API server wrote nothing below %s", prefix)
		}
		for _, kv := range found.Kvs {
			entries = append(entries, seedEntry{string(kv.Key), kv.Value})
		}
	}
	return entries, nil
}

func startServer(directory, etcdEndpoint string) (*process, int, error) {
	key := filepath.Join(directory, "sa.key")
	if err := writeKey(key); err != nil {
		return nil, 0, err
	}
	port, err := freePort()
	if err != nil {
		return nil, 0, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, 0, err
	}
	server, err := start(self, "kube-apiserver", "--etcd-servers="+etcdEndpoint,
		"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", port), "--cert-dir="+directory,
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file="+key, "--service-account-signing-key-file="+key,
		"--service-cluster-ip-range=10.96.0.0/16", "--endpoint-reconciler-type=none")
	return server, port, err
}

type process struct {
	command  *exec.Cmd
	messages bytes.Buffer
	ended    chan struct{}
}

func start(program string, args ...string) (*process, error) {
	p := &process{command: exec.Command(program, args...), ended: make(chan struct{})}
	p.command.Stderr = &p.messages
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.command.Wait()
		close(p.ended)
	}()
	return p, nil
}

func (p *process) stop() {
	_ = p.command.Process.Kill()
	<-p.ended
}

// failure of a process that should be running; nil where it is.
func (p *process) failure() error {
	select {
	case <-p.ended:
		return fmt.Errorf("%s: %v\n%s", p.command, p.command.ProcessState, p.messages.String())
	default:
		return nil
	}
}

func writeKey(file string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	block := &pem.Block{Type: "EC PRIVATE KEY", Bytes: der}
	return os.WriteFile(file, pem.EncodeToMemory(block), 0o600)
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

// waitReady: "ok" of /readyz, after the hooks that write what we are after. The server is our own
// child on loopback, and nothing is sent to it.
func waitReady(port int, needed ...*process) error {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	url := fmt.Sprintf("https://127.0.0.1:%d/readyz", port)
	for end := time.Now().Add(seedTimeout); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		for _, p := range needed {
			if err := p.failure(); err != nil {
				return err
			}
		}
		answer, err := client.Get(url)
		if err != nil {
			continue
		}
		text, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode == http.StatusOK && string(text) == "ok" {
			return nil
		}
	}
	return fmt.Errorf("the API server was not ready within %v", seedTimeout)
}
