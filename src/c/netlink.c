// SPDX-License-Identifier: GPL-2.0
/*
 * The generic netlink family "vigil": docs/netlink/vigil.yaml.
 */
#include <linux/capability.h>
#include <linux/module.h>
#include <linux/netlink.h>
#include <linux/skbuff.h>
#include <linux/sprintf.h>
#include <linux/string.h>
#include <net/genetlink.h>
#include <net/netlink.h>
#include <net/net_namespace.h>
#include <net/sock.h>

#include "vigil.h"

#ifdef CONFIG_NET

/* As src/logic/netlink.rs has them. */
enum {
	CMD_INCIDENT_GET = 1,
	CMD_STATE_GET = 2,
};

enum {
	ATTR_ID = 1,
};

static struct vigil_netlink_source source;
/* Whether the family is there; its groups have numbers then. */
static bool registered;

static struct genl_family family;

/* What a dump keeps from one message to the next. */
struct dump {
	/* The id of the last incident that was put into a message. */
	unsigned long long id;
	/* Whether the request came from somebody who may know addresses. */
	int full;
};

/*
 * Whether the process that sends @request, which is the current one, and the one
 * that opened the socket may both know addresses. Not netlink_capable(): that one
 * looks at the sender only, if the request was sent with an address (sendto()).
 */
static int may_see_addresses(struct sk_buff *request)
{
	return sk_capable(NETLINK_CB(request).sk, CAP_SYSLOG);
}

/* Answer a request with what @cmd and @id select. */
static int reply(struct sk_buff *request, struct genl_info *info, u8 cmd, u64 id)
{
	struct sk_buff *msg = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_KERNEL);
	void *header;
	int err;

	if (!msg)
		return -ENOMEM;
	header = genlmsg_put_reply(msg, info, &family, 0, cmd);
	if (!header) {
		nlmsg_free(msg);
		return -EMSGSIZE;
	}
	if (cmd == CMD_STATE_GET)
		err = source.put_state(msg);
	else
		err = source.put_incident(msg, id, may_see_addresses(request));
	if (err) {
		nlmsg_free(msg);
		return err;
	}
	genlmsg_end(msg, header);
	return genlmsg_reply(msg, info);
}

static int incident_get(struct sk_buff *request, struct genl_info *info)
{
	int err;

	if (GENL_REQ_ATTR_CHECK(info, ATTR_ID))
		return -EINVAL;
	err = reply(request, info, CMD_INCIDENT_GET, nla_get_u64(info->attrs[ATTR_ID]));
	if (err == -ENOENT)
		NL_SET_ERR_MSG(info->extack, "no such incident in the table of recent ones");
	return err;
}

static int state_get(struct sk_buff *request, struct genl_info *info)
{
	return reply(request, info, CMD_STATE_GET, 0);
}

/*
 * The request for a dump. Who may see what is decided here, once: all messages but
 * the first are made in the context of whoever reads, which may be another process.
 */
static int incident_dump_start(struct netlink_callback *cb)
{
	struct dump *dump = (struct dump *)cb->ctx;

	NL_ASSERT_CTX_FITS(struct dump);
	dump->full = may_see_addresses(cb->skb);
	return 0;
}

static int incident_dump(struct sk_buff *msg, struct netlink_callback *cb)
{
	struct dump *dump = (struct dump *)cb->ctx;

	cb->seq = source.generation();
	for (;;) {
		unsigned long long id = dump->id;
		void *header = genlmsg_put(msg, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq,
					   &family, NLM_F_MULTI, CMD_INCIDENT_GET);
		int err = -EMSGSIZE;

		if (header) {
			genl_dump_check_consistent(cb, header);
			err = source.put_incident_after(msg, &id, dump->full,
							genlmsg_nlhdr(header) == nlmsg_hdr(msg));
		}
		if (err) {
			genlmsg_cancel(msg, header);
			if (err == -ENOENT)
				return msg->len;
			/* The rest goes into the next message. */
			return msg->len ? msg->len : err;
		}
		genlmsg_end(msg, header);
		dump->id = id;
	}
}

static const struct nla_policy incident_get_policy[] = {
	[ATTR_ID] = { .type = NLA_U64 },
};

static const struct genl_split_ops ops[] = {
	{
		.cmd = CMD_INCIDENT_GET,
		.doit = incident_get,
		.policy = incident_get_policy,
		.maxattr = ARRAY_SIZE(incident_get_policy) - 1,
		.flags = GENL_CMD_CAP_DO,
	},
	{
		.cmd = CMD_INCIDENT_GET,
		.start = incident_dump_start,
		.dumpit = incident_dump,
		.flags = GENL_CMD_CAP_DUMP,
	},
	{
		.cmd = CMD_STATE_GET,
		.doit = state_get,
		.flags = GENL_CMD_CAP_DO,
	},
};

static const struct genl_multicast_group groups[VIGIL_NR_NETLINK_GROUPS] = {
	[VIGIL_NETLINK_INCIDENTS] = { .name = "incidents" },
	[VIGIL_NETLINK_INCIDENTS_FULL] = {
		.name = "incidents-full", .flags = GENL_MCAST_CAP_SYS_ADMIN,
	},
};

/* Nothing in it has a lock: requests are answered while other ones wait. */
static struct genl_family family __ro_after_init = {
	.name = "vigil",
	.version = 1,
	.module = THIS_MODULE,
	.parallel_ops = true,
	.split_ops = ops,
	.n_split_ops = ARRAY_SIZE(ops),
	.mcgrps = groups,
	.n_mcgrps = ARRAY_SIZE(groups),
};

/**
 * vigil_netlink_register() - register the family
 * @from: what requests are answered from; copied
 *
 * Context: may sleep; not while it is registered already.
 * Return: 0, or an error: -EEXIST if the name is taken.
 */
int vigil_netlink_register(const struct vigil_netlink_source *from)
{
	int err;

	source = *from;
	err = genl_register_family(&family);
	if (!err)
		/* Pairs with vigil_netlink_has_listeners(): the groups have numbers. */
		smp_store_release(&registered, true);
	return err;
}

/**
 * vigil_netlink_unregister() - unregister the family
 *
 * Waits for requests that are being answered. Listeners stay, and hear nothing more.
 *
 * Context: may sleep; no event is sent meanwhile.
 */
void vigil_netlink_unregister(void)
{
	WRITE_ONCE(registered, false);
	genl_unregister_family(&family);
}

/**
 * vigil_netlink_has_listeners() - whether a socket listens on a group
 * @group: the group
 *
 * Context: any, NMI included.
 * Return: not 0 if one does.
 */
int vigil_netlink_has_listeners(enum vigil_netlink_group group)
{
	/* Pairs with vigil_netlink_register(). */
	return smp_load_acquire(&registered) && genl_has_listeners(&family, &init_net, group);
}

/**
 * vigil_netlink_event() - begin a message to listeners
 * @cmd: what the message is
 *
 * Context: process context; does not wait for memory.
 * Return: the message; NULL without memory.
 */
struct sk_buff *vigil_netlink_event(unsigned int cmd)
{
	struct sk_buff *msg = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_NOWAIT | __GFP_NOWARN);

	if (msg && !genlmsg_put(msg, 0, 0, &family, 0, cmd)) {
		nlmsg_free(msg);
		msg = NULL;
	}
	return msg;
}

/**
 * vigil_netlink_free() - free a message that is not sent
 * @msg: from vigil_netlink_event()
 *
 * Context: process context.
 */
void vigil_netlink_free(struct sk_buff *msg)
{
	nlmsg_free(msg);
}

/*
 * Whether a listener must not get a message with addresses. GENL_MCAST_CAP_SYS_ADMIN is
 * checked when a socket joins, against the families that are there at that moment: anybody
 * can join a number before it is this family's. A socket leaves the list of listeners, under
 * the lock that netlink_broadcast_filtered() holds here, before it loses its file.
 */
static int is_unprivileged(struct sock *listener, struct sk_buff *msg, void *unused)
{
	const struct file *file = listener->sk_socket->file;

	return !file || !file_ns_capable(file, &init_user_ns, CAP_SYS_ADMIN);
}

/**
 * vigil_netlink_send() - send a message to all listeners on a group
 * @msg: from vigil_netlink_event(), which this frees
 * @group: the group
 *
 * A listener that has no room for it learns so from its socket. For the group with
 * addresses the process that opened the socket needs CAP_SYS_ADMIN.
 *
 * Context: process context; waits for no listener, and not for memory.
 * Return: 0 if one has got it, or an error.
 */
int vigil_netlink_send(struct sk_buff *msg, enum vigil_netlink_group group)
{
	bool is_full = group == VIGIL_NETLINK_INCIDENTS_FULL;

	nlmsg_end(msg, nlmsg_hdr(msg));
	return genlmsg_multicast_netns_filtered(&family, &init_net, msg, 0, group,
						GFP_NOWAIT | __GFP_NOWARN,
						is_full ? is_unprivileged : NULL, NULL);
}

/**
 * vigil_netlink_put() - add an attribute to a message
 * @msg: the message
 * @attr: the attribute
 * @data: its value
 * @len: how many bytes that has
 *
 * Context: any.
 * Return: 0, or -EMSGSIZE if there is no room.
 */
int vigil_netlink_put(struct sk_buff *msg, unsigned int attr, const void *data, unsigned int len)
{
	return nla_put(msg, attr, len, data);
}

/**
 * vigil_netlink_begin() - begin an attribute whose length is not known
 * @msg: the message
 * @attr: the attribute
 * @nested: not 0 if it has attributes in it
 *
 * Context: any.
 * Return: where it begins, for vigil_netlink_end() and vigil_netlink_trim(); 0 if
 * there is no room.
 */
unsigned int vigil_netlink_begin(struct sk_buff *msg, unsigned int attr, int nested)
{
	struct nlattr *begin = nla_reserve(msg, attr | (nested ? NLA_F_NESTED : 0), 0);

	return begin ? (unsigned char *)begin - msg->data : 0;
}

/**
 * vigil_netlink_append() - add bytes to the attribute that was begun last
 * @msg: the message
 * @data: the bytes
 * @len: how many
 *
 * Context: any.
 * Return: 0, or -EMSGSIZE if there is no room.
 */
int vigil_netlink_append(struct sk_buff *msg, const void *data, unsigned int len)
{
	if (skb_tailroom(msg) < len)
		return -EMSGSIZE;
	skb_put_data(msg, data, len);
	return 0;
}

/**
 * vigil_netlink_end() - end an attribute that was begun
 * @msg: the message
 * @begin: what vigil_netlink_begin() returned
 * @text: not 0 if it is text, whose NUL this adds
 *
 * Context: any.
 * Return: 0, or -EMSGSIZE if there is no room.
 */
int vigil_netlink_end(struct sk_buff *msg, unsigned int begin, int text)
{
	struct nlattr *attr = (struct nlattr *)(msg->data + begin);
	unsigned int len = msg->len - begin + !!text;
	unsigned int end = begin + NLA_ALIGN(len);

	if (len > U16_MAX || skb_tailroom(msg) < end - msg->len)
		return -EMSGSIZE;
	skb_put_zero(msg, end - msg->len);
	attr->nla_len = len;
	return 0;
}

/**
 * vigil_netlink_trim() - take an attribute away, and what is behind it
 * @msg: the message
 * @begin: what vigil_netlink_begin() returned
 *
 * Context: any.
 */
void vigil_netlink_trim(struct sk_buff *msg, unsigned int begin)
{
	nlmsg_trim(msg, msg->data + begin);
}

/**
 * vigil_netlink_hides_addresses() - whether kptr_restrict hides addresses from
 * everybody
 *
 * The variable is not exported: %pK shows its effect.
 *
 * Context: process context.
 * Return: not 0 if it does.
 */
int vigil_netlink_hides_addresses(void)
{
	char text[2 * sizeof(void *) + 1];

	scnprintf(text, sizeof(text), "%pK", &family);
	return !strpbrk(text, "123456789abcdef");
}

#else

int vigil_netlink_register(const struct vigil_netlink_source *from)
{
	return -EOPNOTSUPP;
}

void vigil_netlink_unregister(void)
{
}

int vigil_netlink_has_listeners(enum vigil_netlink_group group)
{
	return 0;
}

struct sk_buff *vigil_netlink_event(unsigned int cmd)
{
	return NULL;
}

void vigil_netlink_free(struct sk_buff *msg)
{
}

int vigil_netlink_send(struct sk_buff *msg, enum vigil_netlink_group group)
{
	return -ESRCH;
}

int vigil_netlink_put(struct sk_buff *msg, unsigned int attr, const void *data, unsigned int len)
{
	return -EMSGSIZE;
}

unsigned int vigil_netlink_begin(struct sk_buff *msg, unsigned int attr, int nested)
{
	return 0;
}

int vigil_netlink_append(struct sk_buff *msg, const void *data, unsigned int len)
{
	return -EMSGSIZE;
}

int vigil_netlink_end(struct sk_buff *msg, unsigned int begin, int text)
{
	return -EMSGSIZE;
}

void vigil_netlink_trim(struct sk_buff *msg, unsigned int begin)
{
}

int vigil_netlink_hides_addresses(void)
{
	return 1;
}

#endif
