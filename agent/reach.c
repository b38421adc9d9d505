/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The libc layer, second part: what native code needs to act behind Python's back, and what a rule
 * can judge by its arguments alone: connecting, memory that can be executed, reaching into other
 * processes, files without a name. Same policy, same evaluator; where the audit layer told of the
 * act in this thread (socket.connect), it is not told again.
 *
 * What nobody asks for goes straight on: a comparison, and for those that have a policy a look into
 * its table. Calls go to the kernel themselves, for looking libc's function up is not safe
 * everywhere these are called; but connect, where threads can be cancelled, has another name in
 * libc that is bound like any function.
 *
 * Not here, and why: dlopen acts for its caller (RUNPATH, namespaces), whose address an interposer
 * changes. mmap of a file without PROT_WRITE is what loaders do.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent.h"

#define EXPORTED __attribute__((visibility("default")))

/* mmap and mmap64 are one, and take the offset in bytes. */
static_assert(sizeof(off_t) == 8 && sizeof(void *) == 8, "a 64-bit system");

/* libc's own name of connect, in every version: sysdeps/unix/sysv/linux/Versions. */
int libc_connect(int fd, const struct sockaddr *address, socklen_t len) __asm__("__connect");

/* Whether the call may go on; else errno says why not. */
static bool
may(const char *event, const struct pyaudit_value *args, unsigned n_args)
{
	int error;

	if (atomic_load_explicit(&agent.policy, memory_order_relaxed) == NULL)
		return true;
	error = -hook_native(event, args, n_args, NULL, NULL);
	if (error != 0)
		errno = error;
	return error == 0;
}

/* As Python shows addresses: a host and a port, or the path of a Unix socket. */
struct peer {
	struct pyaudit_value shown, parts[2];
	char host[INET6_ADDRSTRLEN];
};

static bool
read_peer(struct peer *peer, const struct sockaddr_storage *address, socklen_t len)
{
	const struct sockaddr_in *in4 = (const struct sockaddr_in *)address;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
	const struct sockaddr_un *un = (const struct sockaddr_un *)address;
	const void *ip = address->ss_family == AF_INET ? (const void *)&in4->sin_addr
						       : (const void *)&in6->sin6_addr;
	uint16_t port = address->ss_family == AF_INET ? in4->sin_port : in6->sin6_port;

	if (address->ss_family == AF_UNIX && len > offsetof(struct sockaddr_un, sun_path)) {
		size_t room = len - offsetof(struct sockaddr_un, sun_path);

		/* A name that begins with a NUL is abstract, and has them anywhere. */
		peer->shown = pyaudit_value_text(
			un->sun_path, un->sun_path[0] != '\0' ? strnlen(un->sun_path, room) : room);
		return true;
	}
	if (!(address->ss_family == AF_INET && len >= sizeof(*in4)) &&
	    !(address->ss_family == AF_INET6 && len >= sizeof(*in6)))
		return false;
	if (inet_ntop(address->ss_family, ip, peer->host, sizeof(peer->host)) == NULL)
		return false;
	peer->parts[0] = pyaudit_value_text(peer->host, strlen(peer->host));
	peer->parts[1] = pyaudit_value_int(ntohs(port));
	peer->shown = (struct pyaudit_value){
		.type = PYAUDIT_TAG_LIST, .n_items = 2, .full_len = 2, .items = peer->parts};
	return true;
}

/* What is judged is what the kernel gets: a copy, which no other thread can change. */
EXPORTED int
connect(int fd, const struct sockaddr *address, socklen_t len)
{
	struct sockaddr_storage copy = {.ss_family = AF_UNSPEC};
	struct pyaudit_value args[2] = {pyaudit_value_int(fd)};
	struct peer peer;

	if (atomic_load_explicit(&agent.policy, memory_order_relaxed) == NULL || address == NULL ||
	    len < sizeof(address->sa_family) || len > sizeof(copy))
		return libc_connect(fd, address, len);
	memcpy(&copy, address, len);
	if (!read_peer(&peer, &copy, len))
		return libc_connect(fd, address, len);
	args[1] = peer.shown;
	if (!may("libc.connect", args, 2))
		return -1;
	return libc_connect(fd, (const struct sockaddr *)&copy, len);
}

static void *
map(void *at, size_t length, int prot, int flags, int fd, off_t offset)
{
	union {
		long result;
		void *address;
	} made;

	if ((prot & PROT_EXEC) != 0 && ((flags & MAP_ANONYMOUS) != 0 || (prot & PROT_WRITE) != 0)) {
		struct pyaudit_value args[4] = {pyaudit_value_int((int64_t)length),
						pyaudit_value_int(prot), pyaudit_value_int(flags),
						pyaudit_value_int(fd)};

		if (!may("libc.mmap", args, 4))
			return MAP_FAILED;
	}
	made.result = syscall(SYS_mmap, at, length, prot, flags, fd, offset);
	return made.address;
}

EXPORTED void *
mmap(void *at, size_t length, int prot, int flags, int fd, off_t offset)
{
	return map(at, length, prot, flags, fd, offset);
}

EXPORTED void *
mmap64(void *at, size_t length, int prot, int flags, int fd, off64_t offset)
{
	return map(at, length, prot, flags, fd, offset);
}

EXPORTED int
mprotect(void *at, size_t length, int prot)
{
	if ((prot & PROT_EXEC) != 0) {
		struct pyaudit_value args[2] = {pyaudit_value_int((int64_t)length),
						pyaudit_value_int(prot)};

		if (!may("libc.mprotect", args, 2))
			return -1;
	}
	return (int)syscall(SYS_mprotect, at, length, prot);
}

EXPORTED int
memfd_create(const char *name, unsigned flags)
{
	size_t len = name != NULL ? strnlen(name, PYAUDIT_TEXT_MAX) : 0;
	struct pyaudit_value args[2] = {pyaudit_value_text(name, len), pyaudit_value_int(flags)};

	if (!may("libc.memfd_create", args, 2))
		return -1;
	return (int)syscall(SYS_memfd_create, name, flags);
}

/* libc's differs from the kernel's in how it gives what was read: ptrace(2), "C library/kernel
 * differences". */
EXPORTED long
ptrace(enum __ptrace_request request, ...)
{
	struct pyaudit_value args[2] = {pyaudit_value_int(request)};
	bool reads = request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA ||
		     request == PTRACE_PEEKUSER;
	long result, word = 0;
	void *at, *data;
	va_list list;
	pid_t pid;

	va_start(list, request);
	pid = va_arg(list, pid_t);
	at = va_arg(list, void *);
	data = va_arg(list, void *);
	va_end(list);
	args[1] = pyaudit_value_int(pid);
	if (!may("libc.ptrace", args, 2))
		return -1;
	result = syscall(SYS_ptrace, request, pid, at, reads ? (void *)&word : data);
	if (!reads || result < 0)
		return result;
	errno = 0;
	return word;
}

EXPORTED ssize_t
process_vm_writev(pid_t pid, const struct iovec *local, unsigned long n_local,
		  const struct iovec *remote, unsigned long n_remote, unsigned long flags)
{
	struct pyaudit_value args[2] = {pyaudit_value_int(pid)};
	int64_t length = 0;

	for (unsigned long i = 0; remote != NULL && i < n_remote && i < IOV_MAX; i++)
		length += (int64_t)remote[i].iov_len;
	args[1] = pyaudit_value_int(length);
	if (!may("libc.process_vm_writev", args, 2))
		return -1;
	return syscall(SYS_process_vm_writev, pid, local, n_local, remote, n_remote, flags);
}
