/* SPDX-License-Identifier: Apache-2.0 */
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "cleanup.h"

static int64_t
now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

struct pipes {
	int out[2], err[2], failed[2];
};

static void
close_all(struct pipes *pipes)
{
	int *fds[] = {pipes->out, pipes->err, pipes->failed};

	for (size_t i = 0; i < 3; i++) {
		closep(&fds[i][0]);
		closep(&fds[i][1]);
	}
}

/* In the child: does not return. */
static void
become(const char *const *argv, const char *preload, const struct pipes *pipes)
{
	int null = open("/dev/null", O_RDONLY);
	union {
		const char *const *in;
		char *const *out;
	} words = {.in = argv};
	int error;

	if (preload == NULL)
		(void)unsetenv("LD_PRELOAD");
	else
		(void)setenv("LD_PRELOAD", preload, 1);
	(void)setpgid(0, 0);
	(void)signal(SIGPIPE, SIG_DFL);
	if (null >= 0 && dup2(null, STDIN_FILENO) >= 0 &&
	    dup2(pipes->out[1], STDOUT_FILENO) >= 0 && dup2(pipes->err[1], STDERR_FILENO) >= 0)
		(void)execvp(argv[0], words.out);
	error = errno;
	(void)!write(pipes->failed[1], &error, sizeof(error));
	_exit(127);
}

/* False: the stream has ended. */
static bool
read_some(int fd, struct buf *buf)
{
	char bytes[4096];
	ssize_t n = read(fd, bytes, sizeof(bytes));

	if (n < 0)
		return errno == EINTR || errno == EAGAIN;
	if (buf->len + (size_t)n <= SPAWN_OUTPUT_MAX)
		buf_add(buf, bytes, (size_t)n);
	return n > 0;
}

/* Reads both to their ends. -ETIMEDOUT when the time is over first. */
static int
read_both(const struct pipes *pipes, struct buf *out, struct buf *err, int64_t deadline)
{
	struct pollfd fds[2] = {{.fd = pipes->out[0], .events = POLLIN},
				{.fd = pipes->err[0], .events = POLLIN}};

	while (fds[0].fd >= 0 || fds[1].fd >= 0) {
		int64_t left = deadline - now_ms();

		if (left <= 0)
			return -ETIMEDOUT;
		if (poll(fds, 2, (int)left) < 0 && errno != EINTR)
			return -errno;
		if (fds[0].revents != 0 && !read_some(fds[0].fd, out))
			fds[0].fd = -1;
		if (fds[1].revents != 0 && !read_some(fds[1].fd, err))
			fds[1].fd = -1;
	}
	return 0;
}

static int
wait_until(pid_t pid, int64_t deadline, int *ret_status)
{
	const struct timespec pause = {.tv_nsec = 2000000};

	for (;;) {
		pid_t r = waitpid(pid, ret_status, WNOHANG);

		if (r == pid)
			return 0;
		if (r < 0 && errno != EINTR)
			return -errno;
		if (now_ms() > deadline)
			return -ETIMEDOUT;
		(void)nanosleep(&pause, NULL);
	}
}

int
spawn_run(const char *const *argv, const char *preload, int timeout_ms, struct spawn_result *ret)
{
	CLEANUP(close_all) struct pipes pipes = {{-1, -1}, {-1, -1}, {-1, -1}};
	int64_t deadline = now_ms() + timeout_ms;
	struct buf out, err;
	int r, error;
	pid_t pid;

	*ret = (struct spawn_result){0};
	if (pipe2(pipes.out, O_CLOEXEC) < 0 || pipe2(pipes.err, O_CLOEXEC) < 0 ||
	    pipe2(pipes.failed, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		become(argv, preload, &pipes);
	(void)setpgid(pid, pid);
	closep(&pipes.out[1]);
	closep(&pipes.err[1]);
	closep(&pipes.failed[1]);
	pipes.out[1] = pipes.err[1] = pipes.failed[1] = -1;

	buf_init(&out);
	buf_init(&err);
	r = read_both(&pipes, &out, &err, deadline);
	if (r == 0)
		r = wait_until(pid, deadline, &ret->status);
	if (r < 0) {
		(void)kill(-pid, SIGKILL);
		(void)waitpid(pid, &ret->status, 0);
	} else if (read(pipes.failed[0], &error, sizeof(error)) == sizeof(error)) {
		r = -error;
	}
	ret->out_len = out.len;
	ret->err_len = err.len;
	buf_add_char(&out, '\0');
	buf_add_char(&err, '\0');
	ret->out = out.data;
	ret->err = err.data;
	if (out.failed || err.failed)
		return -ENOMEM;
	return r;
}

void
spawn_result_fini(struct spawn_result *result)
{
	free(result->out);
	free(result->err);
	*result = (struct spawn_result){0};
}
