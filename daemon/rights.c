/* SPDX-License-Identifier: Apache-2.0 */
#include "rights.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"

static bool
find_group(const char *name, const char *path, gid_t *ret)
{
	CLEANUP(fclosep) FILE *file = NULL;
	const struct group *entry;
	char *end;
	unsigned long number;

	errno = 0;
	number = strtoul(name, &end, 10);
	if (name[0] >= '0' && name[0] <= '9' && *end == '\0') {
		*ret = (gid_t)number;
		return errno == 0 && number < (gid_t)-1;
	}
	file = fopen(path, "re");
	while (file != NULL && (entry = fgetgrent(file)) != NULL)
		if (strcmp(entry->gr_name, name) == 0) {
			*ret = entry->gr_gid;
			return true;
		}
	return false;
}

void
rights_load(struct rights_groups *groups, const struct conf *conf, const char *path, struct log *log)
{
	groups->has_control = find_group(conf->control_group, path, &groups->control);
	groups->has_tail = find_group(conf->tail_group, path, &groups->tail);
	if (!groups->has_control && strcmp(conf->control_group, CONF_CONTROL_GROUP) != 0)
		log_warning(log, "there is no group '%s' (control_group) in %s", conf->control_group, path);
	if (!groups->has_tail && strcmp(conf->tail_group, CONF_TAIL_GROUP) != 0)
		log_warning(log, "there is no group '%s' (tail_group) in %s", conf->tail_group, path);
}

static enum rights
of_group(const struct rights_groups *groups, gid_t gid)
{
	if (groups->has_control && gid == groups->control)
		return RIGHTS_CONTROL;
	return groups->has_tail && gid == groups->tail ? RIGHTS_TAIL : RIGHTS_NONE;
}

/* Of the supplementary groups, those that it had when it connected. */
static enum rights
of_groups(const struct rights_groups *groups, int fd)
{
	socklen_t len = 0;
	CLEANUP(freep) gid_t *list = NULL;
	enum rights rights = RIGHTS_NONE;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) == 0 || errno != ERANGE || len == 0 ||
	    len > RIGHTS_GROUPS_MAX * sizeof(*list))
		return RIGHTS_NONE;
	list = malloc(len);
	if (list == NULL || getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, list, &len) < 0)
		return RIGHTS_NONE;
	for (size_t i = 0; i < len / sizeof(*list); i++) {
		enum rights one = of_group(groups, list[i]);

		rights = one > rights ? one : rights;
	}
	return rights;
}

enum rights
rights_of(const struct rights_groups *groups, int fd, uid_t *ret_uid)
{
	struct ucred peer = {0};
	socklen_t len = sizeof(peer);
	enum rights own, others;

	*ret_uid = (uid_t)-1;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || len != sizeof(peer))
		return RIGHTS_NONE;
	*ret_uid = peer.uid;
	if (peer.uid == 0 || peer.uid == geteuid())
		return RIGHTS_CONTROL;
	own = of_group(groups, peer.gid);
	others = of_groups(groups, fd);
	return own > others ? own : others;
}

enum rights
rights_needed(enum request_kind kind)
{
	switch (kind) {
	case REQUEST_STATUS:
	case REQUEST_TAIL:
	case REQUEST_CAPTURE:
	case REQUEST_CONFIG:
	case REQUEST_METRICS:
	case REQUEST_RULES:
		return RIGHTS_TAIL;
	case REQUEST_RELOAD:
	case REQUEST_PAUSE:
	case REQUEST_RESUME:
	case REQUEST_MODE:
	case REQUEST_DRAIN:
	case REQUEST_STOP:
		break;
	}
	return RIGHTS_CONTROL;
}

void
rights_explain(const struct rights_groups *groups, const struct conf *conf, enum rights needed, uid_t uid,
	       char *out, size_t size)
{
	const char *nowhere = ", which this host does not have";

	if (needed == RIGHTS_CONTROL)
		(void)snprintf(out, size, "user %u may not do this: root may, the daemon's user, and members of the "
					  "group '%.64s' (control_group)%s",
			       (unsigned)uid, conf->control_group, groups->has_control ? "" : nowhere);
	else
		(void)snprintf(out, size, "user %u may not look: root may, the daemon's user, and members of the groups "
					  "'%.64s' (tail_group)%s and '%.64s' (control_group)%s",
			       (unsigned)uid, conf->tail_group, groups->has_tail ? "" : nowhere, conf->control_group,
			       groups->has_control ? "" : nowhere);
}
