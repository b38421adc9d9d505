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

#include "link.h"
#include "registration.h"

struct agent agent = {.socket = {.fd = -1}, .memfd = {.fd = -1}};

/* A page of its own, wiped by the kernel in forked children however they were forked. */
static union {
	struct agent_life life;
	char page[4096];
} life_page __attribute__((aligned(4096)));
struct agent_life *agent_life = &life_page.life;

/* For kernels without MADV_WIPEONFORK. */
static void
wipe_in_child(void)
{
	memset(&life_page.life, 0, sizeof(life_page.life));
}

bool
agent_begin(void *library, enum pyaudit_route route)
{
	static bool begun;
	const char *disable = getenv(PYAUDIT_ENV_DISABLE);
	const char *dir = getenv(PYAUDIT_ENV_DIR);

	if (begun)
		return true;
	if ((disable != NULL && disable[0] != '\0') || !python_find(library))
		return false;
	if (dir == NULL || dir[0] != '/')
		dir = PYAUDIT_DIR_DEFAULT;
	if (strlen(dir) >= sizeof(agent.dir))
		return false;
	memcpy(agent.dir, dir, strlen(dir) + 1);
	agent.route = (uint8_t)route;
	atomic_store(&agent.generation, &agent.no_generation);
	if (madvise(&life_page, sizeof(life_page), MADV_WIPEONFORK) != 0 &&
	    pthread_atfork(NULL, NULL, wipe_in_child) != 0)
		return false;
	begun = true;
	agent_life->epoch = (uint32_t)getpid();
	registration_add();
	link_attach(PYAUDIT_REASON_START);
	if (atomic_load(&agent.policy) != NULL)
		atomic_store(&agent_life->attached, 1);
	return true;
}
