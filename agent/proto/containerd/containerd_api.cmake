# SPDX-License-Identifier: Apache-2.0
# Where containerd's .proto files are: CONODE_CONTAINERD_API_DIR, else the pinned Go module, which
# the go command fetches once into its module cache and checks against go.sum.
set(CONTAINERD_API_MODULE github.com/containerd/containerd/api)
set(CONODE_CONTAINERD_API_DIR "" CACHE PATH
    "Directory of containerd's API definitions (services/, types/); empty: fetched by go")

# Runs `go mod download` on a copy of go.mod and go.sum (go may write to them). Sets RESULT to the
# module's directory, or REASON to why there is none.
function(fetch_containerd_api result reason)
  find_program(CONODE_GO go DOC "The Go command: fetches containerd's API definitions")
  if(NOT CONODE_GO)
    set(${reason} "no 'go' in PATH" PARENT_SCOPE)
    return()
  endif()
  set(module ${CMAKE_CURRENT_BINARY_DIR}/module)
  configure_file(go.mod ${module}/go.mod COPYONLY)
  configure_file(go.sum ${module}/go.sum COPYONLY)
  execute_process(
    COMMAND ${CMAKE_COMMAND} -E env GOTOOLCHAIN=local GOFLAGS=-mod=mod GOWORK=off
            ${CONODE_GO} mod download -json ${CONTAINERD_API_MODULE}
    WORKING_DIRECTORY ${module} RESULT_VARIABLE code OUTPUT_VARIABLE json ERROR_VARIABLE error)
  string(JSON dir ERROR_VARIABLE no_dir GET "${json}" Dir)
  if(code EQUAL 0 AND NOT no_dir)
    set(${result} ${dir} PARENT_SCOPE)
    return()
  endif()
  string(JSON download_error ERROR_VARIABLE ignored GET "${json}" Error)
  set(${reason} "go mod download: ${download_error} ${error}" PARENT_SCOPE)
endfunction()

function(containerd_api_dir result)
  if(CONODE_CONTAINERD_API_DIR)
    set(dir ${CONODE_CONTAINERD_API_DIR})
  else()
    fetch_containerd_api(dir reason)
  endif()
  if(NOT dir)
    message(FATAL_ERROR
      "containerd's API definitions cannot be fetched: ${reason}\n"
      "Remedy: install Go (https://go.dev/dl) with access to a Go module proxy, or unpack the module "
      "${CONTAINERD_API_MODULE} of agent/proto/containerd/go.mod somewhere and configure with "
      "-DCONODE_CONTAINERD_API_DIR=<that directory>.")
  endif()
  if(NOT EXISTS ${dir}/types/descriptor.proto)
    message(FATAL_ERROR "'${dir}' holds no containerd API: there is no types/descriptor.proto in it. "
      "Remedy: -DCONODE_CONTAINERD_API_DIR=<directory of the module ${CONTAINERD_API_MODULE}>.")
  endif()
  set(${result} ${dir} PARENT_SCOPE)
endfunction()
