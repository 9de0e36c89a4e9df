"""What each setting means, in Chinese and English, for `zaicun check`.

A test holds this against the settings and README's table, so that a new setting without a text fails.
"""

from collections.abc import Mapping

SECRET = frozenset({"attachments_s3_key", "attachments_s3_secret", "metrics_token"})
"""Shown as "set", never as they are; of the databases' addresses the password is hidden."""

TEXTS: Mapping[str, tuple[str, str]] = {
    "database_url": (
        "数据库地址（服务角色）；空则使用自带的私有数据库",
        "the database, as the service's role; empty: the embedded cluster",
    ),
    "owner_database_url": (
        "同一数据库（表的拥有者），供 migrate、backup、restore 使用",
        "the same database as the owner of the tables, for migrate, backup and restore",
    ),
    "var": ("自带数据库与密钥的目录", "folder of the embedded cluster and the keys"),
    "keys": (
        "签名密钥目录，所有进程共用，须备份；空则为 var/keys",
        "folder of the signing keys, shared by all processes; back it up; empty: var/keys",
    ),
    "host": (
        "监听地址；非本机地址须在 TLS 代理之后",
        "address to bind to; other than loopback only behind a TLS proxy",
    ),
    "port": ("监听端口", "port to bind to"),
    "workers": ("工作进程数，一般等于处理器核数", "worker processes, usually as many as processors"),
    "behind_proxy": (
        "前面有 TLS 代理；来访地址取自它写的 X-Forwarded-For",
        "a TLS proxy stands in front; the client's address is what it writes to X-Forwarded-For",
    ),
    "issuer": ("令牌的签发者名称", "who issues the tokens, by name"),
    "district_code": (
        "本区的统计用区划代码前缀",
        "the district's code, a prefix of the 12-digit region codes",
    ),
    "district_name": ("本区名称", "the district's name"),
    "two_person_publish": (
        "边界与政策须由另一人发布",
        "boundaries and policies are published by another person than their maker",
    ),
    "pool_size": ("每个工作进程的数据库连接数", "database connections of one worker"),
    "intake_queue": (
        "每个工作进程可排队的签到数，超出则请稍后再试",
        "check-ins that may wait in one worker; beyond it 503",
    ),
    "intake_group": ("一次事务最多写入的签到数", "check-ins stored in one transaction at most"),
    "requests_at_once": (
        "每个工作进程同时处理的请求数（签到除外）",
        "requests of one worker at the same time, check-ins aside; beyond it 503",
    ),
    "answer_within_s": ("请求最长处理秒数，超出即答 503", "seconds after which a request hears 503"),
    "statement_timeout_s": (
        "数据库语句最长秒数，须小于 answer_within_s",
        "seconds of one statement, below answer_within_s",
    ),
    "argon2_parallel": (
        "每个工作进程同时计算的口令散列数",
        "passwords hashed at the same time in one worker",
    ),
    "argon2_memory_kib": ("每次口令散列所用内存 (KiB)", "memory of one password hash in KiB"),
    "cors_origins": ("可用浏览器调用接口的网页来源", "origins whose pages may use the API from a browser"),
    "minimum_clients": ("各客户端的最低版本", "the least version of each client"),
    "datum_required_from": (
        "自此日起，旧版应用的签到也须说明坐标系与定位时间；此前按位置不确定计；空则一律须说明",
        "from this day on outdated apps must say datum and age too; until then unsure; empty: everybody must",
    ),
    "quota_read": (
        "每账号每分钟读取次数，0 为不限",
        "reads of an account in a minute of one worker; 0: no limit",
    ),
    "quota_write": (
        "每账号每分钟写入次数，0 为不限",
        "writes of an account in a minute of one worker; 0: no limit",
    ),
    "quota_heavy": (
        "每账号每分钟导入、统计次数，0 为不限",
        "imports and reports of an account in a minute; 0: no limit",
    ),
    "log_level": ("日志级别", "what is logged: debug, info, warning, error"),
    "log_format": ("日志格式", "json, text, or auto: text on a terminal, else json"),
    "log_checkins_every": (
        "成功的签到每几次记一行，0 为不记",
        "of check-ins that went well one of so many has a line; 0: none",
    ),
    "metrics_token": (
        "读取 /metrics 所需的令牌；空则仅本机可读，且 behind_proxy=yes 时无人可读",
        "whoever sends it may read /metrics; empty: this machine alone, and nobody behind a proxy",
    ),
    "metrics_dir": (
        "工作进程计数的目录；空则临时建立",
        "where the workers count; empty: a folder made and removed",
    ),
    "device_keys_from": (
        "自此日起，干部须用有密钥的手机登录；空则不要求",
        "from this day on cadres log in with a key of their phone alone; empty: not required",
    ),
    "device_approval": (
        "更换或增加手机除确认码外还须镇里同意",
        "another phone needs the town's approval, not only a code of the first",
    ),
    "attachments": (
        "附件目录，须备份；空则为 var/attachments",
        "folder of the attachments; back it up; empty: var/attachments",
    ),
    "attachments_s3": (
        "附件内容改存于 S3 兼容存储：s3://桶/前缀；空则存于附件目录",
        "contents lie in a store that speaks S3 instead, s3://bucket/prefix; empty: in the folder",
    ),
    "attachments_s3_endpoint": ("S3 存储的地址", "address of the S3 store; empty: Amazon's"),
    "attachments_s3_region": ("S3 存储的区域", "region of the S3 store"),
    "attachments_s3_key": ("S3 访问密钥的编号", "id of the S3 access key"),
    "attachments_s3_secret": ("S3 访问密钥", "the S3 access key"),
    "attachment_mb": ("单个附件最大 MiB", "MiB of the largest attachment"),
    "attachment_quota_mb": ("每账号附件共占 MiB", "MiB of all attachments of one account"),
    "attachment_unlinked_h": (
        "未传完或未附于任何记录的附件保留小时数",
        "hours after which what is unfinished or attached to nothing is swept",
    ),
    "attachment_link_s": ("下载链接有效秒数", "seconds that a link to an attachment stands"),
    "attachments_kept_days": (
        "已附附件的内容保留天数，期满淡化（法定保留的除外）",
        "days after which the content of what is attached fades, but for legal holds",
    ),
    "sandbox": ("试用环境：数据带标记，令牌在别处无效", "a place to try things out; its data is marked"),
    "owner_name": ("运行单位名称", "who runs this service"),
    "legal_basis": ("处理个人信息的依据", "on what legal basis"),
    "registration_no": ("备案号", "its registration number"),
    "data_contact": ("个人信息保护联系人", "the contact for data protection"),
}
