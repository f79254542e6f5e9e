// The API definitions of the containerd in agent/bundle/recipe: only downloaded, never compiled.
module conode/proto/containerd

go 1.19

require github.com/containerd/containerd/api v1.12.0
