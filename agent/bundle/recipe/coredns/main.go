// SPDX-License-Identifier: Apache-2.0

// CoreDNS with only the plugins that a cluster's DNS needs: smaller and quicker to start than with
// all of them. The order of the directives stays upstream's.
package main

import (
	"runtime/debug"
	"slices"
	"time"

	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/hosts"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/log"
	_ "github.com/coredns/coredns/plugin/loop"
	_ "github.com/coredns/coredns/plugin/metrics"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/reload"
)

var plugins = []string{
	"bind", "cache", "errors", "forward", "health", "hosts", "kubernetes", "loadbalance", "log",
	"loop", "prometheus", "ready", "reload",
}

func main() {
	dnsserver.Directives = slices.DeleteFunc(dnsserver.Directives, func(directive string) bool {
		return !slices.Contains(plugins, directive)
	})
	time.AfterFunc(15*time.Second, debug.FreeOSMemory) // what the start has left behind
	coremain.Run()
}
