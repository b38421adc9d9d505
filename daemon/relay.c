/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pyaudit-journal: hands pyauditd's entries to journald as root. `journalctl -u myapp` shows what
 * others say about myapp only where uid 0 said it, and that is all that pyauditd would need root
 * for. So pyauditd is not root, and this program, which is, holds no capability, sees no files,
 * and can do one thing: pass on an entry that is one of pyauditd's (entry.c), byte for byte.
 *
 * The socket is the service manager's, so what stands in it survives a restart of this program, and
 * an entry stands in it until journald has it: it is looked at first and taken afterwards. Where
 * journald is not there entries wait in the socket, then in pyauditd's queue, which counts what it
 * cannot hold.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "cleanup.h"
#include "entry.h"
#include "log.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#define RETRY_MS 200

enum exit_code {
	EXIT_OK = 0,
	EXIT_FAILED = 2,
};

struct relay {
	struct log log;
	sigset_t signals; /* the mask to wait with */
	int in, out;
	int fd; /* of the packet in hand: a sealed memfd that holds the entry; or -1 */
	char bytes[ENTRY_SIZE_MAX];
	size_t size;
};

static volatile sig_atomic_t is_told_to_end;

static void
on_signal(int number)
{
	(void)number;
	is_told_to_end = 1;
}

/* The packet that is next; it stays in the socket. */
static int
look(struct relay *relay)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {relay->bytes, sizeof(relay->bytes)};
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(relay->in, &message, MSG_CMSG_CLOEXEC | MSG_PEEK);
	struct cmsghdr *head;

	if (n < 0)
		return -errno;
	head = CMSG_FIRSTHDR(&message);
	if (head != NULL && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS)
		memcpy(&relay->fd, CMSG_DATA(head), sizeof(relay->fd));
	relay->size = (size_t)n;
	/* Cut off: entry_check would say so, or, worse, would not. */
	return message.msg_flags & (MSG_TRUNC | MSG_CTRUNC) ? -EMSGSIZE : 0;
}

/* What does not fit into a packet comes as a memfd; sealed, so that it is what was checked. */
static const char *
check_file(int fd)
{
	const int wanted = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	int seals = fcntl(fd, F_GET_SEALS);
	const char *why;
	struct stat st;
	void *bytes;

	if (seals < 0 || (seals & wanted) != wanted || fstat(fd, &st) < 0)
		return "its file is not sealed";
	if (st.st_size <= 0 || st.st_size > ENTRY_SIZE_MAX)
		return "its file is empty, or too long";
	bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (bytes == MAP_FAILED)
		return "its file cannot be read";
	why = entry_check(bytes, (size_t)st.st_size);
	(void)munmap(bytes, (size_t)st.st_size);
	return why;
}

static const char *
check(const struct relay *relay)
{
	if (relay->fd < 0)
		return entry_check(relay->bytes, relay->size);
	return relay->size > 0 ? "it has a file, and bytes beside it" : check_file(relay->fd);
}

static int
deliver(struct relay *relay)
{
	static const struct sockaddr_un journal = {.sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET};
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {relay->bytes, relay->size};
	union {
		const struct sockaddr_un *in;
		void *out;
	} name = {.in = &journal};
	struct msghdr message = {.msg_name = name.out, .msg_namelen = sizeof(journal)};

	if (relay->fd < 0) {
		message.msg_iov = &iov;
		message.msg_iovlen = 1;
	} else {
		struct cmsghdr *head = &control.align;

		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(head), &relay->fd, sizeof(int));
	}
	return sendmsg(relay->out, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* False: told to end before journald could be reached. */
static bool
pass_on(struct relay *relay)
{
	bool is_waiting = false;
	int r;

	while ((r = deliver(relay)) < 0 && r != -EMSGSIZE) {
		if (!is_waiting && r != -EINTR)
			log_warning(&relay->log, "cannot reach journald: %s; trying again", strerror(-r));
		is_waiting = is_waiting || r != -EINTR;
		/* A signal comes in between, or ends the next wait. */
		(void)ppoll(NULL, 0, &(struct timespec){.tv_nsec = RETRY_MS * 1000000}, &relay->signals);
		if (is_told_to_end)
			return false;
	}
	if (r == -EMSGSIZE)
		log_error(&relay->log, "an entry of %zu bytes is too long for a packet", relay->size);
	else if (is_waiting)
		log_notice(&relay->log, "journald is there again");
	return true;
}

static int
run(struct relay *relay)
{
	struct pollfd wanted = {.fd = relay->in, .events = POLLIN};

	while (!is_told_to_end) {
		CLEANUP(closep) int fd = -1;
		const char *why;
		int r;

		/* Signals come here, and not between journald and taking the entry. */
		if (ppoll(&wanted, 1, NULL, &relay->signals) <= 0)
			continue;
		relay->fd = -1;
		r = look(relay);
		fd = relay->fd;
		if (r == -EINTR || r == -EAGAIN)
			continue;
		if (r < 0 && r != -EMSGSIZE) {
			log_error(&relay->log, "cannot receive: %s", strerror(-r));
			return EXIT_FAILED;
		}
		why = r == 0 ? check(relay) : "it is too long";
		if (why != NULL)
			log_error(&relay->log, "an entry was refused: %s", why);
		else if (!pass_on(relay))
			break;
		(void)!recv(relay->in, relay->bytes, 1, MSG_DONTWAIT);
	}
	return EXIT_OK;
}

static void
catch_signals(struct relay *relay)
{
	static const int numbers[] = {SIGTERM, SIGINT};
	struct sigaction action = {.sa_handler = on_signal};
	sigset_t blocked;

	(void)sigemptyset(&blocked);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		(void)sigaction(numbers[i], &action, NULL);
		(void)sigaddset(&blocked, numbers[i]);
	}
	(void)sigprocmask(SIG_BLOCK, &blocked, &relay->signals);
}

int
main(int argc, char **argv)
{
	static struct relay relay; /* large */
	int code = EXIT_FAILED;

	if (argc > 1 && strcmp(argv[1], "--version") == 0) {
		puts("pyaudit-journal " PYAUDIT_VERSION);
		return EXIT_OK;
	}
	log_init(&relay.log, STDERR_FILENO, LOG_LEVEL_INFO);
	catch_signals(&relay);
	relay.in = SD_LISTEN_FDS_START;
	relay.out = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (argc > 1 || sd_listen_fds(1) != 1 ||
	    sd_is_socket_unix(relay.in, SOCK_DGRAM, -1, NULL, 0) <= 0)
		log_error(&relay.log, "pyaudit-journal.socket starts this program with its socket; "
				      "it has no options");
	else if (relay.out < 0)
		log_error(&relay.log, "socket: %s", strerror(errno));
	else
		code = run(&relay);
	if (relay.out >= 0)
		(void)close(relay.out);
	log_fini(&relay.log);
	return code;
}
