# SPDX-License-Identifier: Apache-2.0
set(PYAUDIT_UNIT_RULES attack diag jsonc expr rules ruletest)
# test_rules fails every allocation of the parser once.
set(PYAUDIT_UNIT_rules_LIBRARIES
	-Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc -Wl,--wrap=strdup -Wl,--wrap=vasprintf)
list(APPEND PYAUDIT_UNIT_RULES explain lint generalise)
