/* SPDX-License-Identifier: Apache-2.0 */
#include "unit_profile.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "client.h"
#include "conf.h"
#include "place.h"

#define CONF_PATH "/etc/pyaudit/pyauditd.conf"
#define FILE_PREFIX "50-unit-"
#define FILE_SUFFIX ".conf"

bool
unit_profile_path(char ret[PATH_MAX], const char *root, const char *unit, char why[UNIT_WHY_MAX])
{
	if (strlen(FILE_PREFIX FILE_SUFFIX) + strlen(unit) > NAME_MAX ||
	    snprintf(ret, PATH_MAX, "%s" UNIT_PROFILE_DIRECTORY "/" FILE_PREFIX "%s" FILE_SUFFIX,
		     root, unit) >= PATH_MAX) {
		(void)snprintf(why, UNIT_WHY_MAX, "its name is too long for a file of settings");
		return false;
	}
	return true;
}

bool
unit_profile_unit(char ret[UNIT_NAME_MAX + 1], const char *file_name)
{
	size_t len = strlen(file_name), before = strlen(FILE_PREFIX), behind = strlen(FILE_SUFFIX);

	if (len <= before + behind || len - before - behind > UNIT_NAME_MAX ||
	    strncmp(file_name, FILE_PREFIX, before) != 0 ||
	    strcmp(file_name + len - behind, FILE_SUFFIX) != 0)
		return false;
	(void)snprintf(ret, UNIT_NAME_MAX + 1, "%.*s", (int)(len - before - behind),
		       file_name + before);
	return true;
}

void
unit_profile_text(struct buf *ret, const char *profile, const char *unit)
{
	buf_addf(ret, UNIT_MARK "unit_profile = %s ", profile);
	for (const char *at = unit; *at != '\0'; at++) {
		if (*at == '\\') /* systemd's own escapes are no quotes of a glob */
			buf_add_char(ret, '\\');
		buf_add_char(ret, *at);
		if (strcmp(at, "@.service") == 0)
			buf_add_char(ret, '*');
	}
	buf_add_char(ret, '\n');
}

bool
unit_profile_is_possible(const char *root, const char *profile, char why[UNIT_WHY_MAX])
{
	CLEANUP(freep) char *path = place_below(root, CONF_PATH);
	struct conf conf;
	struct diag diag;
	int r = conf_init(&conf);
	bool can = false;

	diag_init(&diag);
	if (r == 0)
		r = path != NULL ? conf_load_tree(&conf, path, &diag) : -ENOMEM;
	diag_print(&diag, stderr);
	if (r == CONF_E_INVALID)
		(void)snprintf(why, UNIT_WHY_MAX,
			       "the settings of the daemon have mistakes: nothing is changed");
	else if (r < 0 && r != -ENOENT)
		(void)snprintf(why, UNIT_WHY_MAX, "%.*s: %s", PATH_MAX,
			       path != NULL ? path : CONF_PATH, strerror(-r));
	else if (!conf.default_rules && strcmp(profile, conf_profiles[0]) != 0)
		(void)snprintf(
			why, UNIT_WHY_MAX,
			"the profile %s stands on the shipped rules, and default_rules = no in "
			"pyauditd.conf leaves them out",
			profile);
	else
		can = true;
	diag_fini(&diag);
	conf_fini(&conf);
	return can;
}

bool
unit_profile_reload(bool *ret_runs, char why[UNIT_WHY_MAX])
{
	CLEANUP(client_close) struct client client = CLIENT_INIT;
	CLEANUP(json_freep) cJSON *answer = NULL;
	int r = client_open(&client, client_directory(NULL));

	*ret_runs = r != -ENOENT && r != -ECONNREFUSED;
	if (!*ret_runs)
		return true;
	if (r == 0)
		r = client_ask(&client, "reload", &answer, NULL);
	if (r == 0 && client_accepted(answer))
		return true;
	(void)snprintf(why, UNIT_WHY_MAX, "pyauditd cannot read its settings and rules again (%s)",
		       r < 0 ? strerror(-r) : "see above");
	return false;
}
