/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of a daemon that runs: shown, and read again together with the rules. */
#ifndef DAEMON_SETTINGS_H
#define DAEMON_SETTINGS_H

#include "diag.h"
#include "json.h"

struct server;

/* Settings and rules, all or nothing: with a mistake in either, both stay as they are. What only a
 * start can change is said in the log. 0, RULES_E_INVALID (mistakes in @diag), or a negative errno. */
int settings_reload(struct server *server, struct diag *diag);

/* An array of {key, value, file, line}. */
void settings_json(const struct server *server, struct json *json);

#endif
