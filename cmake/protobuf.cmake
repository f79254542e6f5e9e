# SPDX-License-Identifier: Apache-2.0
# conode_proto_library(NAME [GRPC] IMPORT_DIR dir PROTOS file...)
# A static library of the C++ generated from `file...` (paths below IMPORT_DIR), with gRPC stubs on
# request. Generated code is compiled without our warnings. Headers: #include "<path>.pb.h".
function(conode_proto_library name)
  cmake_parse_arguments(P "GRPC" "IMPORT_DIR" "PROTOS" ${ARGN})
  set(out ${PROJECT_BINARY_DIR}/generated)
  file(MAKE_DIRECTORY ${out})
  set(sources)
  foreach(proto IN LISTS P_PROTOS)
    string(REGEX REPLACE "\\.proto$" "" stem ${proto})
    set(made ${out}/${stem}.pb.cc ${out}/${stem}.pb.h)
    set(arguments --proto_path=${P_IMPORT_DIR} --cpp_out=${out})
    if(P_GRPC)
      list(APPEND made ${out}/${stem}.grpc.pb.cc ${out}/${stem}.grpc.pb.h)
      list(APPEND arguments --grpc_out=${out} --plugin=protoc-gen-grpc=${GRPC_CPP_PLUGIN})
    endif()
    add_custom_command(OUTPUT ${made}
      COMMAND ${Protobuf_PROTOC_EXECUTABLE} ${arguments} ${P_IMPORT_DIR}/${proto}
      DEPENDS ${P_IMPORT_DIR}/${proto} VERBATIM COMMENT "protoc ${proto}")
    list(APPEND sources ${made})
  endforeach()
  add_library(${name} STATIC ${sources})
  target_include_directories(${name} SYSTEM PUBLIC ${out})
  target_compile_options(${name} PRIVATE -w)
  if(CONODE_SANITIZE MATCHES address)  # not ours, and a tenth of the build's time
    target_compile_options(${name} PRIVATE -fno-sanitize=all)
  endif()
  target_link_libraries(${name} PUBLIC protobuf $<$<BOOL:${P_GRPC}>:grpcpp>)
endfunction()
