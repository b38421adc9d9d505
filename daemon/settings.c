/* SPDX-License-Identifier: Apache-2.0 */
#include "settings.h"

#include <errno.h>
#include <string.h>

#include "server.h"

static bool
is_same(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static void
say_kept(void *data, const char *key, const char *value)
{
	struct server *server = data;

	log_warning(server->log, "'%s' stays %s until the daemon is started anew", key,
		    value != NULL ? value : "unset");
}

/* Most are read where they are used; these have to be told. */
static void
take_effect(struct server *server, const struct conf *old)
{
	const struct conf *conf = server->conf;

	server->log->level = (enum log_level)conf->log_level;
	if (old->watch_ms != conf->watch_ms || !is_same(old->cgroups, conf->cgroups)) {
		unwatched_free(server->unwatched);
		server->unwatched = unwatched_new(server);
	}
}

int
settings_reload(struct server *server, struct diag *diag)
{
	const struct server_options *options = server->options;
	struct conf fresh, old;
	int r = options->reload_settings(options->settings, &fresh, diag);

	if (r != 0)
		return r;
	r = conf_carry(&fresh, server->conf, say_kept, server);
	if (r == 0)
		r = policy_load(&server->policy, &fresh, diag, server->log);
	if (r != 0) {
		conf_fini(&fresh);
		return r;
	}
	old = *server->conf;
	*server->conf = fresh;
	take_effect(server, &old);
	conf_fini(&old);
	return 0;
}

static void
add_setting(void *data, const char *key, const char *value, const char *file, unsigned line)
{
	struct json *json = data;

	json_object(json);
	json_key(json, "key");
	json_str(json, key);
	json_key(json, "value");
	json_str(json, value);
	json_key(json, "file");
	json_str(json, file);
	json_key(json, "line");
	if (line > 0)
		json_uint(json, line);
	else
		json_null(json);
	json_object_end(json);
}

void
settings_json(const struct server *server, struct json *json)
{
	json_array(json);
	conf_show(server->conf, add_setting, json);
	json_array_end(json);
}
