/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Following: a program that is started with an environment of its own, without the preload, is
 * still watched. The agent puts into that environment what it needs and takes it out again before
 * the program's main, so that the program sees its own variables, and its children are followed in
 * turn.
 */
#ifndef AGENT_FOLLOW_H
#define AGENT_FOLLOW_H

#include <alloca.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>

/* A program without libc may inherit the preload, too. */
#pragma weak environ

/* Set by an agent for the agent of the program it starts: "MODE PREFIX:DIRECTORY". MODE is 'a' (all
 * are followed) or 'i' (Python and shells), a capital letter where it observes only; PREFIX the
 * bytes of ours at the beginning of LD_PRELOAD's value, 0 where all of it is ours, '-' where
 * nothing is. */
#define FOLLOW_MARK "PYAUDIT_FOLLOW"

#define FOLLOW_TEXT_MAX 8192 /* the two variables; a longer LD_PRELOAD is left as it is */
#define FOLLOW_HEAD 2048     /* bytes of a program that are looked at */

#define FOLLOW_LIBRARY "libpyaudit-agent.so"

/* Before main: takes out of the environment what a parent's agent has put there. False: there is no
 * LD_PRELOAD in it. */
bool follow_arrive(void);
/* The runtime directory that came that way or by the environment, or NULL. */
const char *follow_dir(void);
/* Whether this program is to be observed only. */
bool follow_observes(void);
/* This process has the agent's policy, preloaded: remembers by which path. */
void follow_begin(const char *dir, bool observes);

/* Room for an environment with two more variables, in the frame of the caller. */
struct follow_room {
	char **list;
	char text[FOLLOW_TEXT_MAX];
};
size_t follow_count(char *const *envp);
#define FOLLOW_ROOM(envp) alloca((follow_count(envp) + 3) * sizeof(char *))

/*
 * A program is about to be started, @shown as people see it: *envp is replaced where it is to be
 * followed. Tells of one that the agent cannot come with (pyaudit.leaves). 0, or the error number
 * that the call is to fail with. Only system calls and memory of this stack: this may be a vfork
 * child.
 */
int follow_program(int dirfd, const char *path, int flags, const char *shown, char *const **envp,
		   struct follow_room *room);

#endif
