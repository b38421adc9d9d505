# SPDX-License-Identifier: Apache-2.0
# Each name N is tests/unit/test_N.c, linked with reference.c and pyauditd_core.
set(PYAUDIT_UNIT_POLICY pattern compile verdict filter)
set(PYAUDIT_UNIT_compile_LIBRARIES
	-Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc)
