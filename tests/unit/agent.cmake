# SPDX-License-Identifier: Apache-2.0
# Each name N is tests/unit/test_N.c, linked with pyaudit_judge.
set(PYAUDIT_UNIT_AGENT ring codec fields proc switch secrets secrets_plain memo packages real symbols)
set(PYAUDIT_UNIT_secrets_plain_SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/secrets_plain.c)
set(PYAUDIT_UNIT_memo_SOURCES ${CMAKE_SOURCE_DIR}/agent/memo.c)
set(PYAUDIT_UNIT_packages_SOURCES ${CMAKE_SOURCE_DIR}/agent/packages.c)
# Without the agent's directory among those of headers: <link.h> is the system's.
add_library(pyaudit_symbols OBJECT ${CMAKE_SOURCE_DIR}/agent/symbols.c)
target_link_libraries(pyaudit_symbols PRIVATE pyaudit_options)
set(PYAUDIT_UNIT_symbols_SOURCES $<TARGET_OBJECTS:pyaudit_symbols>)
set(PYAUDIT_UNIT_switch_SOURCES ${CMAKE_SOURCE_DIR}/agent/switch.c)
set(PYAUDIT_UNIT_real_SOURCES ${CMAKE_SOURCE_DIR}/agent/real.c)
