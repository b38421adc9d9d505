# SPDX-License-Identifier: Apache-2.0
# Each name N is tests/unit/test_N.c, linked with reference.c and pyauditd_core.
set(PYAUDIT_UNIT_POLICY pattern compile grams verdict filter)
list(APPEND PYAUDIT_UNIT_POLICY unit_rules)
set(PYAUDIT_UNIT_unit_rules_LIBRARIES -Wl,--wrap=calloc,--wrap=realloc)
set(PYAUDIT_UNIT_verdict_SOURCES ${CMAKE_SOURCE_DIR}/agent/memo.c)
set(PYAUDIT_UNIT_compile_LIBRARIES
	-Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc)
