/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's state, and how it begins: late or early (arrival.c), it finds its way to Python's
 * functions, loads the policy, connects and registers its hook.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "announce.h"
#include "context.h"
#include "follow.h"
#include "lines.h"
#include "link.h"
#include "memo.h"
#include "registration.h"
#include "secrets.h"
#include "switch.h"

struct agent agent = {.socket = {.fd = -1}, .memfd = {.fd = -1}};

/* A page of its own, wiped by the kernel in forked children however they were forked. */
#define LIFE_SIZE 4096

struct agent_life *agent_life;

/* For kernels without MADV_WIPEONFORK. */
static void
wipe_in_child(void)
{
	memset(agent_life, 0, sizeof(*agent_life));
}

static size_t
use_policies(void *room)
{
	if (room != NULL)
		agent.policies = room;
	return AGENT_POLICIES * sizeof(*agent.policies);
}

/* Says how many bytes all parts take, and gives them theirs where @room is not NULL. */
static size_t
share_out(char *room)
{
	size_t (*const parts[])(void *) = {use_policies, memo_use, lines_use, context_use,
					   announce_use, pyaudit_secrets_room};
	size_t at = LIFE_SIZE;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		at += (parts[i](room != NULL ? room + at : NULL) + 63) & ~(size_t)63;
	return at;
}

/* Memory that a program with Python has. As part of the library's own data it would be one more mapping in each
 * program that inherits the preload. */
static bool
make_room(void)
{
	size_t size = share_out(NULL);
	void *room;

	if (agent_life != NULL)
		return true;
	room = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (room == MAP_FAILED)
		return false;
	if (madvise(room, LIFE_SIZE, MADV_WIPEONFORK) != 0 && pthread_atfork(NULL, NULL, wipe_in_child) != 0) {
		(void)munmap(room, size);
		return false;
	}
	agent_life = room;
	(void)share_out(room);
	return true;
}

bool
agent_begin(void *library, enum pyaudit_route route)
{
	static bool begun;
	/* In a program that gained privileges these are its caller's, who has no say. */
	const char *dir = secure_getenv(PYAUDIT_ENV_DIR);
	const char *mode = secure_getenv(PYAUDIT_ENV_MODE);

	if (begun)
		return true;
	if (follow_dir() != NULL)
		dir = follow_dir();
	if (dir == NULL || dir[0] != '/')
		dir = PYAUDIT_DIR_DEFAULT;
	if (strlen(dir) >= sizeof(agent.dir) || switch_is_off(dir) || !python_find(library) || !make_room())
		return false;
	memcpy(agent.dir, dir, strlen(dir) + 1);
	agent.route = (uint8_t)route;
	agent.observes = follow_dir() != NULL
				 ? follow_observes()
				 : mode != NULL && strcmp(mode, PYAUDIT_MODE_OBSERVE) == 0;
	if (route != PYAUDIT_ROUTE_IMPORT)
		follow_begin(agent.dir, agent.observes);
	atomic_store(&agent.generation, &agent.no_generation);
	begun = true;
	agent_life->epoch = (uint32_t)getpid();
	registration_add();
	link_attach(PYAUDIT_REASON_START);
	if (atomic_load(&agent.policy) != NULL)
		atomic_store(&agent_life->attached, 1);
	return true;
}
