// SPDX-License-Identifier: Apache-2.0

// Kube is every Kubernetes component in one static binary. The component is chosen by argv[0]
// (a symbolic link such as kubelet -> kube) or, when called as kube, by the first argument.
// The code is upstream's, unpatched; each applet is what upstream's own main() does.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // time zones of CronJobs

	_ "conode/bundle/kubernetes/english"

	"github.com/spf13/cobra"
	_ "k8s.io/client-go/plugin/pkg/client/auth"
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubeadm "k8s.io/kubernetes/cmd/kubeadm/app"
	kubeadmcmd "k8s.io/kubernetes/cmd/kubeadm/app/cmd"
	kubeadmerrors "k8s.io/kubernetes/cmd/kubeadm/app/util/errors"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

var applets = map[string]func(){
	"kube-apiserver":          func() { serve(128, apiserver.NewAPIServerCommand()) },
	"kube-controller-manager": func() { serve(32, controllermanager.NewControllerManagerCommand()) },
	"kube-scheduler":          func() { serve(24, scheduler.NewSchedulerCommand()) },
	"kube-proxy":              func() { serve(16, proxy.NewProxyCommand()) },
	"kubelet":                 func() { serve(24, kubelet.NewKubeletCommand(context.Background())) },
	"kubeadm":                 func() { kubeadmerrors.HandleError(kubeadm.Run()) },
	"kubeadm-phases":          runKubeadmPhases,
	"kubectl":                 runKubectl,
	"make-seed":               runMakeSeed,
}

func run(command *cobra.Command) { os.Exit(cli.Run(command)) }

// started: by then a server has done what a start makes it do.
const started = 15 * time.Second

// collectLater: the first garbage collection comes when the heap has mib MiB, not at 4 MiB: a
// starting server passes that anyway, in a dozen collections that cost a tenth of its start. From
// then on the heap may grow by half before the next one, not by all: these servers share a node with
// a simulation, and have little to do. What the start has left behind goes back to the kernel.
func collectLater(mib int) {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(mib * 100 / 4)
	first := new([64]byte)
	runtime.AddCleanup(first, func(int) { debug.SetGCPercent(50) }, 0)
	time.AfterFunc(started, debug.FreeOSMemory)
}

// serve runs a server whose heap has about mib MiB when it has started.
func serve(mib int, command *cobra.Command) {
	collectLater(mib)
	run(command)
}

func runKubectl() {
	_, _ = logs.GlogSetter(kubectl.GetLogVerbosity(os.Args))
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err)
	}
}

// runKubeadmPhases runs `kubeadm ARGS` for each list of ARGS, separated by "--", one after the
// other in this process: starting the binary costs more than most phases do. What a list that
// begins with --out=FILE prints goes to that new file (mode 0600). Two lists are no call of kubeadm:
// --serving=PATH HOST... makes a server's certificate, --seed=FILE ENDPOINT loads the seed into etcd.
//
//	kube kubeadm-phases init phase certs all --config F -- --out=K kubeconfig user --client-name U
func runKubeadmPhases() {
	for _, args := range split(os.Args[1:], "--") {
		if err := runKubeadm(args); err != nil {
			fmt.Fprintf(os.Stderr, "kubeadm %s: ", strings.Join(args, " "))
			kubeadmerrors.HandleError(err) // exits
		}
	}
}

func runKubeadm(args []string) error {
	if file, found := strings.CutPrefix(args[0], "--seed="); found {
		return loadSeed(file, args[1])
	}
	if path, found := strings.CutPrefix(args[0], "--serving="); found {
		return makeServingCertificate(path, args[1:])
	}
	out := os.Stdout
	if path, found := strings.CutPrefix(args[0], "--out="); found {
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		defer file.Close()
		out, args = file, args[1:]
	}
	command := kubeadmcmd.NewKubeadmCommand(os.Stdin, out, os.Stderr)
	command.SetArgs(args)
	return command.Execute()
}

// runMakeSeed: kube make-seed ETCD FILE
func runMakeSeed() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: kube make-seed ETCD FILE")
		os.Exit(2)
	}
	if err := makeSeed(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintf(os.Stderr, "make the seed of etcd: %v\n", err)
		os.Exit(1)
	}
}

func split(list []string, separator string) [][]string {
	var parts [][]string
	for {
		i := slices.Index(list, separator)
		if i < 0 {
			return append(parts, list)
		}
		parts = append(parts, list[:i])
		list = list[i+1:]
	}
}

func main() {
	name := filepath.Base(os.Args[0])
	if _, known := applets[name]; !known && len(os.Args) > 1 {
		os.Args = os.Args[1:]
		name = os.Args[0]
	}
	applet, known := applets[name]
	if !known {
		names := make([]string, 0, len(applets))
		for applet := range applets {
			names = append(names, applet)
		}
		slices.Sort(names)
		fmt.Fprintf(os.Stderr, "kube: unknown applet '%s'; one of: %s\n", name, strings.Join(names, " "))
		os.Exit(2)
	}
	applet()
}
