# SPDX-License-Identifier: Apache-2.0
include_directories(${PROJECT_SOURCE_DIR})
include_directories(SYSTEM ${PROJECT_BINARY_DIR}/generated)
# Who only installs may have another compiler, which sees other things: no errors for him.
add_compile_options(-Wall -Wextra -Wconversion -Wshadow $<$<BOOL:${CONODE_TESTS}>:-Werror>
                    -Wno-missing-field-initializers  # designated initializers rely on defaults
                    -fno-omit-frame-pointer)
if(CONODE_SANITIZE)
  add_compile_options(-fsanitize=${CONODE_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${CONODE_SANITIZE})
  if(CONODE_SANITIZE MATCHES thread AND CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    add_compile_options(-Wno-tsan)  # Boost.Asio's fences: not seen by TSan, but its locks are
  endif()
else()
  add_link_options(-Wl,--as-needed -Wl,-z,relro,-z,now)
endif()
