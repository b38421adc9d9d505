/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "ctl.h"
#include "json.h"
#include "monitor.h"
#include "pyaudit/wire.h"
#include "writer.h"

#define READY "READY"
#define WORKSPACE "/workspace.json" /* in the private directory */
#define EXIT_MISTAKES 1 /* of pyauditd: mistakes in rules or settings */

static int64_t
now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

/* The loader takes LD_PRELOAD apart at blanks and colons and expands $ORIGIN and the like. */
static bool
fits_ld_preload(const char *path)
{
	return strpbrk(path, " :\t\n$") == NULL;
}

/* A directory that is ours alone, on a path short enough for sockets. */
static int
make_directory(struct monitor *monitor)
{
	const char *const bases[] = {getenv("XDG_RUNTIME_DIR"), getenv("TMPDIR"), "/tmp"};
	int error = ENOENT;
	size_t i;

	for (i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
		int n;

		if (bases[i] == NULL || bases[i][0] != '/' || !fits_ld_preload(bases[i]))
			continue;
		n = snprintf(monitor->dir, sizeof(monitor->dir), "%s/pyaudit-XXXXXX", bases[i]);
		if (n < 0 || (size_t)n >= sizeof(monitor->dir))
			continue;
		if (mkdtemp(monitor->dir) != NULL)
			return 0;
		error = errno;
	}
	monitor->dir[0] = '\0';
	ctl_error("cannot make a directory in XDG_RUNTIME_DIR, TMPDIR or /tmp: %s",
		  strerror(error));
	return CTL_RUN_MONITOR;
}

/* A path of the agent that LD_PRELOAD can hold: its own, or a link in our directory. */
static int
prepare_agent(struct monitor *monitor)
{
	const char *path = ctl_agent_path();

	if (access(path, R_OK) != 0) {
		ctl_error("cannot read the agent %s: %s", path, strerror(errno));
		return CTL_RUN_MONITOR;
	}
	if (fits_ld_preload(path)) {
		(void)snprintf(monitor->agent, sizeof(monitor->agent), "%s", path);
		return 0;
	}
	(void)snprintf(monitor->agent, sizeof(monitor->agent), "%s/libpyaudit-agent.so",
		       monitor->dir);
	if (symlink(path, monitor->agent) != 0) {
		ctl_error("cannot make the link %s: %s", monitor->agent, strerror(errno));
		return CTL_RUN_MONITOR;
	}
	return 0;
}

/* The profile for untrusted code lets it write where the command starts, and where temporary files
 * go: a file of rules makes its list longer by these. */
static int
write_workspace(struct monitor *monitor)
{
	char path[MONITOR_DIR_MAX + sizeof(WORKSPACE)], cwd[PATH_MAX];
	const char *temporary = getenv("TMPDIR");
	struct buf text;
	struct json json;
	int fd, r;

	(void)snprintf(path, sizeof(path), "%s" WORKSPACE, monitor->dir);
	buf_init(&text);
	buf_add_str(&text, "{\"version\":1,\"lists\":{\"agent_writable\":{\"append\":");
	json = json_on(&text);
	json_array(&json);
	if (getcwd(cwd, sizeof(cwd)) != NULL && strcmp(cwd, "/") != 0)
		json_str(&json, cwd);
	if (temporary != NULL && temporary[0] == '/' && temporary[1] != '\0')
		json_str(&json, temporary);
	json_array_end(&json);
	buf_add_str(&text, "}}}\n");
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	r = fd < 0 ? -errno : text.failed ? -ENOMEM : writer_write_all(fd, text.data, text.len);
	if (fd >= 0)
		(void)close(fd);
	buf_fini(&text);
	if (r == 0) {
		monitor->has_workspace = true;
		return 0;
	}
	ctl_error("cannot write %s: %s", path, strerror(-r));
	return CTL_RUN_MONITOR;
}

/* Files only: a directory in it is not ours. */
static void
remove_directory(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;

	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			(void)unlinkat(dirfd(dir), entry->d_name, 0);
	(void)closedir(dir);
	(void)rmdir(path);
}

/* Descriptors of the daemon that must survive exec stand at these numbers. */
#define CHILD_READY_FD 3
#define CHILD_PARENT_FD 4

/* In the child: only the descriptors it needs. Nothing that the user gave us may stay open in it:
 * a reader of our output waits for the last writer. */
static void
arrange_fds(int ready_fd, int parent_fd, int log_fd)
{
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	/* Out of the way first, so that no dup2 hits one that is still needed. */
	int ready = fcntl(ready_fd, F_DUPFD_CLOEXEC, 10);
	int parent = fcntl(parent_fd, F_DUPFD_CLOEXEC, 10);
	int log = fcntl(log_fd, F_DUPFD_CLOEXEC, 10);

	if (null_fd < 0 || ready < 0 || parent < 0 || log < 0 ||
	    dup2(null_fd, STDIN_FILENO) < 0 || dup2(null_fd, STDOUT_FILENO) < 0 ||
	    dup2(log, STDERR_FILENO) < 0 || dup2(ready, CHILD_READY_FD) < 0 ||
	    dup2(parent, CHILD_PARENT_FD) < 0)
		_exit(CTL_RUN_MONITOR);
	if (close_range(CHILD_PARENT_FD + 1, ~0u, 0) != 0) {
		int fd;

		for (fd = CHILD_PARENT_FD + 1; fd < 1024; fd++)
			(void)close(fd);
	}
}

/* Default dispositions and an empty mask: the daemon is nobody's job. */
static void
reset_signals(void)
{
	sigset_t none;
	int signal_number;

	for (signal_number = 1; signal_number < NSIG; signal_number++)
		(void)signal(signal_number, SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The daemon itself, in the child. */
static _Noreturn void
become_daemon(const struct monitor *monitor, const struct monitor_options *options)
{
	static const char *const not_ours[] = {"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC",
					       "LISTEN_FDS",    "LISTEN_PID",   "LISTEN_FDNAMES",
					       "JOURNAL_STREAM"};
	const char **argv = calloc(2 * options->n_rules + 28, sizeof(*argv));
	union {
		const char **in;
		char *const *out; /* execv changes nothing */
	} arguments = {.in = argv};
	char ready_fd[16], parent_fd[16], workspace[MONITOR_DIR_MAX + sizeof(WORKSPACE)];
	size_t n = 0, i;

	if (argv == NULL)
		_exit(CTL_RUN_MONITOR);
	(void)snprintf(workspace, sizeof(workspace), "%s" WORKSPACE, monitor->dir);
	argv[n++] = "pyauditd";
	argv[n++] = "--config";
	argv[n++] = "/dev/null"; /* the settings of the host are not for us */
	argv[n++] = "--dir";
	argv[n++] = monitor->dir;
	for (i = 0; i < options->n_rules; i++) {
		argv[n++] = "--rules";
		argv[n++] = options->rules[i];
	}
	if (options->no_default_rules)
		argv[n++] = "--no-default-rules";
	if (options->profile != NULL) {
		argv[n++] = "--profile";
		argv[n++] = options->profile;
	}
	if (monitor->has_workspace) {
		argv[n++] = "--rules";
		argv[n++] = workspace;
	}
	if (options->observe)
		argv[n++] = "--observe";
	argv[n++] = "--record";
	argv[n++] = options->record;
	argv[n++] = "--no-journal";
	argv[n++] = "--log-level";
	argv[n++] = "warning"; /* it is read when something went wrong */
	if (options->ndjson != NULL) {
		argv[n++] = "--ndjson";
		argv[n++] = options->ndjson;
	}
	(void)snprintf(ready_fd, sizeof(ready_fd), "%d", CHILD_READY_FD);
	(void)snprintf(parent_fd, sizeof(parent_fd), "%d", CHILD_PARENT_FD);
	argv[n++] = "--ready-fd";
	argv[n++] = ready_fd;
	argv[n++] = "--parent-fd";
	argv[n++] = parent_fd;

	/* Were we a service, the daemon would speak to systemd in its name. */
	for (i = 0; i < sizeof(not_ours) / sizeof(not_ours[0]); i++)
		(void)unsetenv(not_ours[i]);
	(void)setenv(PYAUDIT_ENV_DISABLE, "1", 1); /* LD_PRELOAD may name an agent already */
	(void)execv(ctl_daemon_path(), arguments.out);
	ctl_error("cannot run %s: %s", ctl_daemon_path(), strerror(errno));
	_exit(CTL_RUN_MONITOR);
}

static int
start_daemon(struct monitor *monitor, const struct monitor_options *options, int *ret_ready_fd)
{
	int ready[2] = {-1, -1}, parent[2] = {-1, -1}, log[2] = {-1, -1};
	pid_t pid = -1;

	if (pipe2(ready, O_CLOEXEC) == 0 && pipe2(parent, O_CLOEXEC) == 0 &&
	    pipe2(log, O_CLOEXEC | O_NONBLOCK) == 0)
		pid = fork();
	if (pid == 0) {
		(void)setsid();
		arrange_fds(ready[1], parent[0], log[1]);
		reset_signals();
		become_daemon(monitor, options);
	}
	if (pid < 0)
		ctl_error("cannot start the monitor: %s", strerror(errno));
	close_fd(&ready[1]);
	close_fd(&parent[0]);
	close_fd(&log[1]);
	monitor->parent_fd = parent[1];
	monitor->log_fd = log[0];
	*ret_ready_fd = ready[0];
	if (pid < 0)
		return CTL_RUN_MONITOR;
	monitor->pid = pid;
	return 0;
}

/* 1: ready, 0: it ended or hung up before, -EINTR, -ETIMEDOUT. */
static int
wait_until_ready(struct monitor *monitor, int ready_fd, int wake_fd, bool (*interrupted)(void))
{
	int64_t deadline = now_ms() + MONITOR_START_MS;
	char text[64];
	size_t len = 0;

	for (;;) {
		struct pollfd fds[] = {{.fd = ready_fd, .events = POLLIN},
				       {.fd = monitor->log_fd, .events = POLLIN},
				       {.fd = wake_fd, .events = POLLIN}};
		int64_t left = deadline - now_ms();

		if (interrupted())
			return -EINTR;
		if (left <= 0)
			return -ETIMEDOUT;
		if (poll(fds, 3, (int)left) <= 0)
			continue;
		if (fds[2].revents != 0) {
			char drained[64];
			ssize_t n = read(wake_fd, drained, sizeof(drained));

			(void)n;
		}
		if (fds[1].revents != 0)
			monitor_read_log(monitor);
		if (fds[0].revents != 0) {
			ssize_t n = read(ready_fd, text + len, sizeof(text) - len);

			if (n <= 0 && !(n < 0 && errno == EINTR))
				return 0;
			len += n > 0 ? (size_t)n : 0;
			if (len >= strlen(READY) && memcmp(text, READY, strlen(READY)) == 0)
				return 1;
			if (len == sizeof(text))
				return 0;
		}
	}
}

/* Waits for its end up to @timeout_ms, reading what it still says. */
static bool
wait_for_end(struct monitor *monitor, int timeout_ms)
{
	int64_t deadline = now_ms() + timeout_ms;

	while (!monitor_has_ended(monitor)) {
		struct pollfd log = {.fd = monitor->log_fd, .events = POLLIN};

		if (now_ms() >= deadline)
			return false;
		(void)poll(&log, 1, 5);
		monitor_read_log(monitor);
	}
	monitor_read_log(monitor);
	return true;
}

void
monitor_kill(struct monitor *monitor)
{
	if (monitor->pid <= 0)
		return;
	(void)kill(monitor->pid, SIGKILL);
	while (waitpid(monitor->pid, &monitor->status, 0) < 0 && errno == EINTR)
		;
	monitor->pid = 0;
}

/* Says why there is no monitor. The exit code for it. */
static int
explain_failure(struct monitor *monitor, int reason)
{
	if (reason == -ETIMEDOUT || !wait_for_end(monitor, MONITOR_END_MS)) {
		monitor_kill(monitor);
		text_print_block(stderr, monitor->log, monitor->log_len);
		ctl_error("the monitor did not get ready in time; the command was not run");
		return CTL_RUN_MONITOR;
	}
	text_print_block(stderr, monitor->log, monitor->log_len);
	if (WIFEXITED(monitor->status) && WEXITSTATUS(monitor->status) == EXIT_MISTAKES) {
		ctl_error("the command was not run");
		return CTL_USAGE;
	}
	if (WIFSIGNALED(monitor->status))
		ctl_error("the monitor was killed by signal %d (%s); the command was not run",
			  WTERMSIG(monitor->status), strsignal(WTERMSIG(monitor->status)));
	else
		ctl_error("the monitor did not start (%s ended with %d); the command was not run",
			  ctl_daemon_path(), WEXITSTATUS(monitor->status));
	return CTL_RUN_MONITOR;
}

int
monitor_start(struct monitor *monitor, const struct monitor_options *options, int wake_fd,
	      bool (*interrupted)(void))
{
	CLEANUP(closep) int ready_fd = -1;
	int r = make_directory(monitor);

	if (r == 0)
		r = prepare_agent(monitor);
	if (r == 0 && options->profile != NULL && strcmp(options->profile, "agent") == 0)
		r = write_workspace(monitor);
	if (r == 0)
		r = start_daemon(monitor, options, &ready_fd);
	if (r == 0) {
		r = wait_until_ready(monitor, ready_fd, wake_fd, interrupted);
		if (r == 1)
			return CTL_OK;
		if (r == -EINTR)
			monitor_kill(monitor); /* it has nothing to save yet */
		r = r == -EINTR ? CTL_RUN_SIGNAL : explain_failure(monitor, r);
	}
	monitor_end(monitor);
	return r;
}

void
monitor_read_log(struct monitor *monitor)
{
	char chunk[4096];
	ssize_t n;

	if (monitor->log_fd < 0)
		return;
	while ((n = read(monitor->log_fd, chunk, sizeof(chunk))) > 0) {
		size_t over;

		if (monitor->log == NULL)
			monitor->log = malloc(MONITOR_LOG_MAX + sizeof(chunk));
		if (monitor->log == NULL)
			continue;
		memcpy(monitor->log + monitor->log_len, chunk, (size_t)n);
		monitor->log_len += (size_t)n;
		if (monitor->log_len <= MONITOR_LOG_MAX)
			continue;
		over = monitor->log_len - MONITOR_LOG_MAX;
		memmove(monitor->log, monitor->log + over, MONITOR_LOG_MAX);
		monitor->log_len = MONITOR_LOG_MAX;
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		close_fd(&monitor->log_fd);
}

bool
monitor_has_ended(struct monitor *monitor)
{
	if (monitor->pid > 0 && waitpid(monitor->pid, &monitor->status, WNOHANG) == monitor->pid)
		monitor->pid = 0;
	return monitor->pid == 0;
}

void
monitor_end(struct monitor *monitor)
{
	bool running = monitor->pid > 0;

	close_fd(&monitor->parent_fd);
	if (!wait_for_end(monitor, MONITOR_END_MS)) {
		monitor_kill(monitor);
	} else if (running && monitor->status != 0) {
		text_print_block(stderr, monitor->log, monitor->log_len);
		ctl_error("the monitor ended badly; events may be missing");
	}
	close_fd(&monitor->log_fd);
	free(monitor->log);
	monitor->log = NULL;
	monitor->log_len = 0;
	if (monitor->dir[0] != '\0')
		remove_directory(monitor->dir);
	monitor->dir[0] = '\0';
}
