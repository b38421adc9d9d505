/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client of the control socket may ask for. Told by the kernel's word alone, who it was that connected
 * (SO_PEERCRED, and SO_PEERGROUPS for supplementary groups): root and the daemon's own user may everything, and so
 * may the members of `control_group`; those of `tail_group` may look. Groups are those of /etc/group, for name
 * services may wait for a network; a number is one, too.
 */
#ifndef DAEMON_RIGHTS_H
#define DAEMON_RIGHTS_H

#include <stdbool.h>
#include <sys/types.h>

#include "conf.h"
#include "log.h"
#include "request.h"

#define RIGHTS_GROUPS_MAX 65536u /* of a client: NGROUPS_MAX of the kernel */

enum rights {
	RIGHTS_NONE,
	RIGHTS_TAIL,	/* looks: status, events, settings, numbers */
	RIGHTS_CONTROL, /* changes what is in force */
};

struct rights_groups {
	gid_t control, tail;
	bool has_control, has_tail; /* there are such groups */
};

/* At start and reload. */
void rights_load(struct rights_groups *groups, const struct conf *conf, const char *path, struct log *log);

/* Who is at the other end of @fd; RIGHTS_NONE also where that cannot be told. */
enum rights rights_of(const struct rights_groups *groups, int fd, uid_t *ret_uid);

enum rights rights_needed(enum request_kind kind);

/* Why a request is refused, and what would help, in one sentence. */
void rights_explain(const struct rights_groups *groups, const struct conf *conf, enum rights needed, uid_t uid,
		    char *out, size_t size);

#endif
