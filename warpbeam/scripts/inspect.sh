#!/bin/bash
# What setup needs to know of a host, read as root. Changes nothing.
#
# Parameters: users, groups, paths (arrays), units (array), cookie_file, programs that must be there.
: "${users[@]-}" "${paths[@]-}" "${units[@]-}" "${programs[@]-}" "${cookie_file?}"

[[ -d /run/systemd/system ]] || refuse 'this host does not run systemd' 'Warpbeam runs apps as systemd units'
((EUID == 0)) || refuse 'setup must be root here' 'give the admin sudo, or see users.admin in the inventory'

missing=()
for program in "${programs[@]}"; do
  command -v "$program" >/dev/null || missing+=("$program")
done

found_users=''
for user in "${users[@]}"; do
  if entry=$(getent passwd -- "$user"); then
    IFS=: read -r _ _ uid _ _ home shell <<<"$entry"
    object uid "$uid" home "$home" shell "$shell" group "$(id -gn -- "$user")"
    found_users+="${found_users:+,}\"$user\":$REPLY"
  fi
done

found_paths=''
for path in "${paths[@]}"; do
  [[ -e $path || -L $path ]] || continue
  read -r mode owner group kind < <(stat --printf='%a %U %G %F\n' -- "$path")
  sum=''
  if [[ -f $path && ! -L $path ]]; then
    sum=$(sha256sum -- "$path")
    sum=${sum%% *}
  fi
  object kind "$kind" mode "$mode" owner "$owner" group "$group" sha256 "${sum#\\}"
  quoted_path=$REPLY
  quoted "$path"
  found_paths+="${found_paths:+,}$REPLY:$quoted_path"
done

enabled=()
for unit in "${units[@]}"; do
  [[ $(systemctl is-enabled -- "$unit" 2>/dev/null) != enabled ]] || enabled+=("$unit")
done

cookie=''
if [[ -n $cookie_file && -r $cookie_file ]]; then
  cookie=$(sed -n 's/^RELEASE_COOKIE=//p' -- "$cookie_file")
fi

array "${missing[@]}"; missing_json=$REPLY
array "${enabled[@]}"; enabled_json=$REPLY
answer missing: "$missing_json" users: "{$found_users}" paths: "{$found_paths}" enabled: "$enabled_json" cookie "$cookie"
