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

#include "follow.h"
#include "link.h"
#include "registration.h"
#include "switch.h"

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
	/* In a program that gained privileges these are its caller's, who has no say. */
	const char *dir = secure_getenv(PYAUDIT_ENV_DIR);
	const char *mode = secure_getenv(PYAUDIT_ENV_MODE);

	if (begun)
		return true;
	if (follow_dir() != NULL)
		dir = follow_dir();
	if (dir == NULL || dir[0] != '/')
		dir = PYAUDIT_DIR_DEFAULT;
	if (strlen(dir) >= sizeof(agent.dir) || switch_is_off(dir) || !python_find(library))
		return false;
	memcpy(agent.dir, dir, strlen(dir) + 1);
	agent.route = (uint8_t)route;
	agent.observes = follow_dir() != NULL
				 ? follow_observes()
				 : mode != NULL && strcmp(mode, PYAUDIT_MODE_OBSERVE) == 0;
	if (route != PYAUDIT_ROUTE_IMPORT)
		follow_begin(agent.dir, agent.observes);
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
