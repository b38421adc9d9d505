/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events of a thread that runs no Python: what an event costs without a frame to name. Loaded by
 * loop.py with ctypes. No Python headers, like the agent.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

extern int PyGILState_Ensure(void);
extern void PyGILState_Release(int state);
extern int PySys_Audit(const char *event, const char *format, ...);

struct task {
	int bursts, size, pause_us;
	void *path, *mode;
};

static double
now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void *
raise_events(void *data)
{
	const struct task *task = data;
	int state = PyGILState_Ensure();

	for (int burst = 0; burst <= task->bursts; burst++) {
		double begun;

		(void)usleep((useconds_t)task->pause_us);
		begun = now_ns();
		for (int i = 0; i < task->size; i++)
			(void)PySys_Audit("open", "OOi", task->path, task->mode, 524288);
		if (burst > 0) /* the first one warms up */
			printf("%.2f ", (now_ns() - begun) / task->size);
	}
	printf("\n");
	(void)fflush(stdout);
	PyGILState_Release(state);
	return NULL;
}

/* Called without the GIL, as ctypes.CDLL does; @path and @mode stay referenced by the caller. */
int
bench_frameless(int bursts, int size, int pause_us, void *path, void *mode)
{
	struct task task = {bursts, size, pause_us, path, mode};
	pthread_t thread;

	if (pthread_create(&thread, NULL, raise_events, &task) != 0)
		return -1;
	return pthread_join(thread, NULL);
}
