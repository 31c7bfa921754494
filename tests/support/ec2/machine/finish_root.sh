#!/bin/bash
# Do in an extracted root what the packages' own scripts would, as far as sshd and sudo need it.
set -e
root=$1
for folder in bin sbin lib lib64; do
  if [ -d "$root/$folder" ] && [ ! -L "$root/$folder" ]; then
    mkdir -p "$root/usr/$folder"
    cp -a "$root/$folder/." "$root/usr/$folder/"
    rm -r "${root:?}/$folder"
    ln -s "usr/$folder" "$root/$folder"
  fi
done
cp "$root/usr/share/base-passwd/passwd.master" "$root/etc/passwd"
cp "$root/usr/share/base-passwd/group.master" "$root/etc/group"
echo 'sshd:x:101:65534::/run/sshd:/usr/sbin/nologin' >> "$root/etc/passwd"
ln -sf mawk "$root/usr/bin/awk"
ln -sf which.debianutils "$root/usr/bin/which"
ln -sf bash "$root/usr/bin/sh"
for kind in account auth password session; do
  echo "$kind sufficient pam_permit.so" > "$root/etc/pam.d/common-$kind"
  cp "$root/etc/pam.d/common-$kind" "$root/etc/pam.d/common-$kind-noninteractive"
done
echo 'hosts: files dns' > "$root/etc/nsswitch.conf"
[ -f "$root/etc/ssh/sshd_config" ] || cp "$root/usr/share/openssh/sshd_config" "$root/etc/ssh/sshd_config"
[ -f "$root/etc/profile" ] || cp "$root/usr/share/base-files/profile" "$root/etc/profile"
rm -rf "$root"/usr/share/{doc,man,locale,info}
