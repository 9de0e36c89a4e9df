"""The sentences of safety.py: what is wrong, why it matters, what to do; Chinese first, then English.

A name is stable for ever: operators search for it, and their monitoring may match it. {Braces} take what was found.
"""

TEXTS: dict[str, tuple[str, str]] = {
    "sandbox-on-live-data": (
        "这个数据库是正式环境的，演练环境（ZAICUN_SANDBOX=yes）不得使用。请去掉这项设置，或为演练另建一个空数据库。",
        (
            "This database is a live one, and ZAICUN_SANDBOX=yes would play with it. Remove the setting, or give the sandbox"
            " an empty database of its own."
        ),
    ),
    "live-on-sandbox-data": (
        "这个数据库标记为演练环境，其中的人员和签到都是虚构的，不得当作正式数据。请设 ZAICUN_SANDBOX=yes，或改用正式数据库。",
        (
            "This database is marked as a sandbox: its people and check-ins are invented and must not be taken for real ones."
            " Set ZAICUN_SANDBOX=yes, or use the live database."
        ),
    ),
    "fsync-off": (
        "数据库的 fsync={value}。断电时，已经答复手机的签到会丢失，数据库也可能损坏。请在 postgresql.conf 设 fsync=on 并重启。",
        (
            "The database runs with fsync={value}. A power failure could lose acknowledged check-ins and damage the database."
            " Set fsync=on in postgresql.conf and restart it."
        ),
    ),
    "full-page-writes-off": (
        "数据库的 full_page_writes={value}。断电时，写了一半的页会损坏数据库。请设 full_page_writes=on 并重新加载配置。",
        (
            "The database runs with full_page_writes={value}. A page torn by a power failure would damage the database."
            " Set full_page_writes=on and reload."
        ),
    ),
    "synchronous-commit-off": (
        (
            "本服务会话的 synchronous_commit={value}。已经答复的签到可能丢失（有同步备库时 local 也不够）。请设为 on，并检查"
            " ALTER ROLE 与 ALTER DATABASE 的设置（psql 的 \\drds）。"
        ),
        (
            "Sessions of the service run with synchronous_commit={value}. An acknowledged check-in could be lost (with a"
            " synchronous standby by `local` as well). Set it to on, and look for ALTER ROLE and ALTER DATABASE (\\drds in psql)."
        ),
    ),
    "damage-hidden": (
        "数据库打开了 {list}。损坏的记录会被悄悄跳过或清零。请关闭，并从备份恢复损坏的部分。",
        (
            "The database runs with {list} on. Damaged records would be skipped or zeroed in silence."
            " Switch it off and restore what is damaged from a backup."
        ),
    ),
    "database-read-only": (
        (
            "数据库只读（备库，或 default_transaction_read_only=on）。签到无法保存。请把 ZAICUN_DATABASE_URL 指向主库；"
            "有多台主机时加上 target_session_attrs=read-write。"
        ),
        (
            "The database is read-only (a standby, or default_transaction_read_only=on). No check-in could be stored. Point"
            " ZAICUN_DATABASE_URL at the primary; with several hosts add target_session_attrs=read-write."
        ),
    ),
    "role-superuser": (
        "服务角色 {role} 是超级用户（superuser）。一处漏洞就能读取、修改一切。请执行 ALTER ROLE {role} NOSUPERUSER，或换一个普通角色。",
        (
            "The service's role {role} is a superuser. One flaw would open everything. Run ALTER ROLE {role} NOSUPERUSER, or"
            " give the service a plain role."
        ),
    ),
    "role-bypasses-rls": (
        "服务角色 {role} 有 BYPASSRLS，行级安全对它无效。请执行 ALTER ROLE {role} NOBYPASSRLS。",
        "The service's role {role} has BYPASSRLS, so row security does not hold it. Run ALTER ROLE {role} NOBYPASSRLS.",
    ),
    "role-too-mighty": (
        "服务角色 {role} 的权力过大：{list}。它只应能登录。请用 ALTER ROLE 或 REVOKE 去掉。",
        (
            "The service's role {role} can do too much: {list}. It should be able to log in and no more. Take these away with"
            " ALTER ROLE or REVOKE."
        ),
    ),
    "role-owns-tables": (
        (
            "服务角色 {role} 拥有数据表（或属于拥有者角色）：{list}。拥有者能改写和删除记录。请让另一个角色作为拥有者运行"
            " `zaicun migrate`（ZAICUN_OWNER_DATABASE_URL）。"
        ),
        (
            "The service's role {role} owns tables, itself or through a role it belongs to: {list}. An owner can rewrite and drop"
            " records. Let another role own them and run `zaicun migrate` (ZAICUN_OWNER_DATABASE_URL)."
        ),
    ),
    "role-may-create": (
        "服务角色 {role} 可以在以下位置建立对象：{list}。它可以用自己的函数和表替换系统的。请执行 REVOKE CREATE（也要从 PUBLIC 收回）。",
        (
            "The service's role {role} may create objects in: {list}. It could put its own functions and tables in the place of"
            " real ones. REVOKE CREATE from it, and from PUBLIC."
        ),
    ),
    "role-rights-excess": (
        (
            "服务角色 {role} 对数据表的权限超出应有范围：{list}。只增的记录不得修改、删除。请以拥有者身份再次运行 `zaicun migrate`，"
            "并收回给 PUBLIC 的权限。"
        ),
        (
            "The service's role {role} has more rights than it needs: {list}. Records that are only added must not be changed or"
            " deleted. Run `zaicun migrate` again as the owner, and revoke what PUBLIC was given."
        ),
    ),
    "role-rights-lacking": (
        "服务角色 {role} 缺少权限：{list}。请以拥有者身份运行 `zaicun migrate`，它会重新授权。",
        "The service's role {role} lacks rights: {list}. Run `zaicun migrate` as the owner; it grants them again.",
    ),
    "key-weak": (
        "{folder} 中的密钥过弱（不足 256 位，或显然不是随机生成）：{list}。别人可以伪造令牌。请移走这些文件；没有密钥时启动会生成新的。",
        (
            "Keys in {folder} are too weak (fewer than 256 bits, or clearly not random): {list}. Others could forge tokens."
            " Move these files away; new keys are made when there are none."
        ),
    ),
    "key-sample": (
        "{folder} 中有公开文档里的示例密钥：{list}。人人都能伪造令牌。请移走这些文件；没有密钥时启动会生成新的。",
        (
            "Keys in {folder} are printed in public documents: {list}. Anybody could forge tokens. Move these files away; new"
            " keys are made when there are none."
        ),
    ),
    "key-readable": (
        "{folder} 中的密钥文件可被其他用户读取：{list}。请执行 chmod 600；如可能已泄露，再运行 `zaicun keys rotate`。",
        "Others may read key files in {folder}: {list}. Run chmod 600; when they may have leaked, `zaicun keys rotate` too.",
    ),
    "key-unreadable": (
        "{folder} 中的密钥文件无法读取：{list}。请检查归属与内容，或从备份恢复。",
        "Key files in {folder} cannot be read: {list}. Look at their owner and content, or restore them from the backup.",
    ),
    "key-folder-open": (
        "其他用户可以写入密钥目录 {folder}，从而放入自己的密钥。请执行 chmod 700。",
        "Others may write to the folder of keys {folder} and could put their own keys there. Run chmod 700.",
    ),
    "key-folder-in-product": (
        "密钥目录 {folder} 在软件自身的文件之中，会随软件一起被复制和公开。请用 ZAICUN_KEYS 指定别处。",
        (
            "The folder of keys {folder} lies among the product's own files, which are copied and published. Name another place"
            " with ZAICUN_KEYS."
        ),
    ),
    "password-sample": (
        "数据库密码是常见示例、与名称相同或少于 12 个字符：{list}。请生成新的密码（openssl rand -hex 24），并用 ALTER ROLE 更换。",
        (
            "A password of the database is a well-known sample, equal to a name, or shorter than 12 characters: {list}. Make a"
            " new one (openssl rand -hex 24) and set it with ALTER ROLE."
        ),
    ),
    "debug-on": (
        "调试开关已打开：{list}。它使服务变慢，并可能把内部情况显示给外人。请去掉这些环境变量。",
        "Debugging is switched on: {list}. It slows the service down and can show its inside to strangers. Unset it.",
    ),
    "public-bind": (
        "ZAICUN_HOST={host} 会不加密地向外提供服务。请在前面放置 TLS 反向代理并设 ZAICUN_BEHIND_PROXY=yes，或绑定 127.0.0.1。",
        (
            "ZAICUN_HOST={host} would serve without TLS to others. Put a TLS proxy in front and say so with"
            " ZAICUN_BEHIND_PROXY=yes, or bind to 127.0.0.1."
        ),
    ),
    "postgresql-old": (
        "PostgreSQL {version} 过旧，至少需要 {oldest}。请升级数据库。",
        "PostgreSQL {version} is too old; {oldest} is the oldest that works. Upgrade the database.",
    ),
    "postgis-old": (
        "PostGIS {version} 过旧或未安装，至少需要 {oldest}。请安装后执行 CREATE EXTENSION postgis 或 ALTER EXTENSION postgis UPDATE。",
        (
            "PostGIS {version} is too old or missing; {oldest} is the oldest that works. Install it and run CREATE EXTENSION"
            " postgis or ALTER EXTENSION postgis UPDATE."
        ),
    ),
    "encoding": (
        "数据库编码是 {value}，无法可靠保存中文。请用 UTF8 新建数据库：CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0。",
        (
            "The database's encoding is {value}, which does not keep Chinese text safely. Make the database anew:"
            " CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0."
        ),
    ),
    "schema": ("{zh}", "{en}"),
    "clocks-apart": (
        "本机与数据库的时钟相差 {apart} 秒，最多允许 {most} 秒。签到时间与令牌有效期都会出错。请在两台机器上启用 NTP（chrony）。",
        (
            "The clocks of this machine and of the database are {apart} s apart, {most} s at most are allowed. Times of check-ins"
            " and lives of tokens would be wrong. Run NTP (chrony) on both."
        ),
    ),
    "link-plain": (
        (
            "与另一台机器上数据库的连接未加密，口令与位置会明文传输。请在地址中加 sslmode=verify-full；若确属可信的封闭网络，"
            "请明确写 sslmode=disable。"
        ),
        (
            "The link to the database on another machine is not encrypted; passwords and positions would travel in the clear."
            " Add sslmode=verify-full to the address, or, in a closed network that you trust, say sslmode=disable."
        ),
    ),
    "link-plain-chosen": (
        "与数据库的连接按配置不加密（sslmode=disable）。只适用于同一台机器内的封闭网络。",
        (
            "The link to the database is not encrypted, as configured (sslmode=disable). This fits a closed network inside one"
            " machine only."
        ),
    ),
    "link-unverified": (
        "与数据库的连接已加密，但 sslmode={sslmode} 不核对对方身份。请改为 verify-full 并配置 sslrootcert。",
        (
            "The link to the database is encrypted, but sslmode={sslmode} does not check who answers. Use verify-full with"
            " sslrootcert."
        ),
    ),
    "checksums-off": (
        "数据库未启用数据校验和，磁盘的无声损坏将不被发现。停机后可用 pg_checksums --enable 启用。",
        (
            "The database runs without data checksums; a silent fault of a disk would stay unnoticed. Enable them with"
            " pg_checksums --enable while it is stopped."
        ),
    ),
    "connections-few": (
        (
            "全部工作进程最多需要 {need} 个数据库连接，而数据库只允许 {have} 个。请增大 max_connections，或减小 ZAICUN_WORKERS、"
            "ZAICUN_POOL_SIZE。"
        ),
        (
            "All workers together may need {need} connections and the database allows {have}. Raise max_connections, or lower"
            " ZAICUN_WORKERS or ZAICUN_POOL_SIZE."
        ),
    ),
    "log-statement": (
        "数据库记录语句日志（log_statement），其中可能含有姓名和位置。请设 log_statement=none。",
        "The database logs statements (log_statement), which may carry names and places. Set log_statement=none.",
    ),
}
