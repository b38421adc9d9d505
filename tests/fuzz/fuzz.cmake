# SPDX-License-Identifier: Apache-2.0
set(PYAUDIT_FUZZ_secrets_SOURCES ${CMAKE_SOURCE_DIR}/tests/unit/secrets_plain.c)
