/* SPDX-License-Identifier: Apache-2.0 */
#include <unistd.h>

#include "ctl.h"

#define ETC_RULES "/etc/pyaudit/rules.d"

size_t
ctl_default_rules(const char *paths[CTL_DEFAULT_RULES_MAX])
{
	size_t n = 0;

	if (access(ctl_default_rules_dir(), F_OK) == 0)
		paths[n++] = ctl_default_rules_dir();
	if (access(ETC_RULES, F_OK) == 0)
		paths[n++] = ETC_RULES;
	return n;
}
