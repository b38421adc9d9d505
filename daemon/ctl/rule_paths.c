/* SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "conf.h"
#include "ctl.h"

#define ETC_RULES "/etc/pyaudit/rules.d"

/* Valid until the next call. */
static const char *
profile_path(const char *profile)
{
	static char path[PATH_MAX];
	const char *rules = ctl_default_rules_dir(), *slash = strrchr(rules, '/');

	(void)snprintf(path, sizeof(path), "%.*s/profiles/%s.json", (int)(slash - rules), rules,
		       profile);
	return path;
}

size_t
ctl_default_rules(const char *paths[CTL_DEFAULT_RULES_MAX], const char *profile)
{
	size_t n = 0;

	if (access(ctl_default_rules_dir(), F_OK) == 0)
		paths[n++] = ctl_default_rules_dir();
	if (profile != NULL && access(profile_path(profile), F_OK) == 0)
		paths[n++] = profile_path(profile);
	if (access(ETC_RULES, F_OK) == 0)
		paths[n++] = ETC_RULES;
	return n;
}

int
ctl_check_profile(const char *command, const char *profile)
{
	const char *nearest;
	size_t n = 0;

	if (conf_profile_by_name(profile) != NULL)
		return CTL_OK;
	while (conf_profiles[n] != NULL)
		n++;
	nearest = ctl_nearest(profile, conf_profiles, n);
	if (nearest != NULL)
		return ctl_usage_error(command, "--profile: unknown profile '%s', did you mean '%s'?",
				       profile, nearest);
	return ctl_usage_error(command,
			       "--profile: unknown profile '%s': server, build, agent or audit",
			       profile);
}
